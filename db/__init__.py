"""The database: typed tables, sessions, migrations, queries and writes."""
