"""The schema of the database: its state, and its upgrade by migrations."""

from pathlib import Path
from typing import Literal

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.orm import Session

from db import tallies
from db.session import DatabaseUnavailableError, reading

MIGRATIONS = Path(__file__).parent / "migrations"
State = Literal["empty", "old", "current", "newer"]
BEHIND = ("empty", "old")


def upgrade(engine: Engine) -> None:
    """Upgrade the schema to the newest revision and compute missing tallies; does nothing if it is current or newer.

    Both happen in one transaction; of several processes one does it while the others wait.
    """
    if state(engine) not in BEHIND:
        return
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":  # SQLite has one writer anyway
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('pneumoscope schema'))"))
        if _state(connection) in BEHIND:
            command.upgrade(_alembic(connection), "head")
            with Session(connection) as session:
                tallies.missing(session)


def state(engine: Engine) -> State:
    """The state of the database's schema relative to this code's migrations; it does not wait for writers. Raises
    DatabaseUnavailableError if a SQLite file belongs to another program."""
    with reading(engine) as session:
        return _state(session.connection())


def _state(connection: Connection) -> State:
    current = MigrationContext.configure(connection).get_current_revision()
    if current is None:
        names = inspect(connection).get_table_names()
        if names and "alembic_version" not in names and connection.dialect.name == "sqlite":
            raise DatabaseUnavailableError("this is another program's SQLite file; set DATABASE_URL to another")
        return "old" if "image" in names else "empty"
    scripts = ScriptDirectory.from_config(_alembic(connection))
    if current == scripts.get_current_head():
        return "current"
    return "old" if current in {script.revision for script in scripts.walk_revisions()} else "newer"


def _alembic(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config
