"""What is remembered: typed tables, sessions, migrations, and the reads and writes over them."""
