"""Connecting to the database: engines for SQLite and PostgreSQL, and transactions."""

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pysqlite3
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.orm import Session

log = logging.getLogger(__name__)

BUSY_TIMEOUT_SECONDS = 30
BACKPORTED: dict[tuple[int, ...], tuple[int, ...]] = {(3, 44): (3, 44, 6), (3, 50): (3, 50, 7)}
"""SQLite release lines with a backport of the WAL-reset fix -> first fixed patch release."""

READS = "pneumoscope_reads"
"""Execution option of read-only connections."""
SERVER_READS: dict[str, Any] = {"postgresql_readonly": True, "isolation_level": "REPEATABLE READ"}
"""Options that make a PostgreSQL transaction read-only and let it see a single snapshot, as in SQLite."""


class DatabaseUnavailableError(Exception):
    """The database cannot be opened; the message names it (without its password) and says what to do."""


def wal_is_safe(version: str) -> bool:
    """Whether SQLite `version` is free of the WAL-reset corruption bug, which affects 3.7.0 to 3.51.2; fixed also in
    3.44.6 and 3.50.7."""
    release = tuple(int(part) for part in version.split("."))
    if release[:2] in BACKPORTED:
        return release >= BACKPORTED[release[:2]]
    return release < (3, 7, 0) or release >= (3, 51, 3)


def connect(url: str, *, read_only: bool = False, patience: float | None = None) -> Engine:
    """An engine for `url`, checked by connecting once.

    patience: seconds to wait for another writer; None means BUSY_TIMEOUT_SECONDS on SQLite and no limit on a server.

    SQLite gets foreign keys, a busy timeout, WAL if it is safe, and BEGIN IMMEDIATE unless read_only.
    Raises DatabaseUnavailableError if the URL is invalid or the database cannot be opened.
    """
    try:
        parsed = make_url(url)
        make = MAKERS[parsed.drivername]
        engine = make(parsed, read_only, patience)
    except (ArgumentError, ValueError, KeyError):  # not a URL; an invalid port; an unsupported driver
        hint = "expected sqlite:///PATH or postgresql://USER:PASSWORD@HOST:PORT/NAME"
        raise DatabaseUnavailableError(f"--database or DATABASE_URL cannot be used: {hint}") from None
    try:
        engine.connect().close()
    except DBAPIError as error:
        said = cause(error)
        way_out = "set DATABASE_URL to another" if make is _sqlite else "start it, or set DATABASE_URL to another"
        if "disk I/O error" in said:  # SQLite also reports a disk without space for its journal files this way
            way_out = f"check whether the disk is full, or {way_out}"
        raise DatabaseUnavailableError(f"database {shown(url)} cannot be opened ({said}); {way_out}") from error
    return engine


def cause(error: Exception) -> str:
    """What went wrong, in one line; of a driver's error only its own words, without the statement and its values."""
    said = str(error.orig if isinstance(error, DBAPIError) else error).strip()
    return said.splitlines()[0] if said else type(error).__name__


def shown(url: str | URL) -> str:
    """`url` in a form that may be printed: without its password, and without its query, which may contain one too."""
    return make_url(url).set(query={}).render_as_string(hide_password=True)


def _sqlite(url: URL, read_only: bool, patience: float | None) -> Engine:
    path = url.database
    if not path or path == ":memory:":
        raise ValueError("an in-memory database is lost when the job ends")
    if read_only:
        url = url.set(database=Path(path).absolute().as_uri()).update_query_dict({"mode": "ro", "uri": "true"})
    else:
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatabaseUnavailableError(
                f"folder {Path(path).parent} for the database cannot be created ({error.strerror}); "
                "set PNEUMOSCOPE_ARTIFACTS or DATABASE_URL to a writable place"
            ) from error
    timeout = BUSY_TIMEOUT_SECONDS if patience is None else patience
    engine = create_engine(url, module=pysqlite3, connect_args={"timeout": timeout})
    wal = wal_is_safe(pysqlite3.sqlite_version)
    if not wal:
        log.warning("SQLite %s can corrupt a WAL database; rollback journal used", pysqlite3.sqlite_version)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not start transactions itself; _begin does
        cursor = connection.cursor()
        cursor.execute("PRAGMA schema_version")  # reads the file, so that one that is not a database is detected
        cursor.execute("PRAGMA foreign_keys = ON")
        if not read_only:
            _journal(cursor, "WAL" if wal else "DELETE", patience=timeout)
            cursor.execute("PRAGMA synchronous = NORMAL" if wal else "PRAGMA synchronous = FULL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reads = READS in connection.get_execution_options()
        if not read_only:
            connection.exec_driver_sql(f"PRAGMA query_only = {reads}")
        connection.exec_driver_sql("BEGIN" if read_only or reads else "BEGIN IMMEDIATE")

    return engine


def _journal(cursor: Any, mode: str, *, patience: float) -> None:
    """Set the journal mode, retrying for `patience` seconds: SQLite's busy timeout does not cover this statement."""
    deadline = time.monotonic() + patience
    while True:
        try:
            cursor.execute(f"PRAGMA journal_mode = {mode}")
            return
        except pysqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() >= deadline:
                raise
        time.sleep(0.05)


def _server(url: URL, read_only: bool, patience: float | None) -> Engine:
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    arguments: dict[str, Any] = {"connect_timeout": 10}
    if patience is not None:
        arguments["options"] = f"-c lock_timeout={round(1000 * patience)}"
    engine = create_engine(url, pool_pre_ping=True, connect_args=arguments)
    return engine.execution_options(**SERVER_READS) if read_only else engine


MAKERS = {"sqlite": _sqlite, "sqlite+pysqlite": _sqlite, "postgresql": _server, "postgresql+psycopg": _server}
"""Driver name -> factory of its engine; other drivers are not installed."""


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """A session for writing, committed at the end, or rolled back on an exception. On SQLite there is only one at a
    time, so use `reading` for reading, and do long work before or after.

    SIGINT and SIGTERM are delayed until its end: an exception inside SQLAlchemy's own bookkeeping could leave the
    connection in a transaction and the database locked.
    """
    with _signals_held(), Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A read-only session on a single snapshot of the database; it delays neither writers nor signals."""
    with Session(_only_reading(engine), expire_on_commit=False) as session, session.begin():
        yield session


def _only_reading(engine: Engine) -> Engine:
    return engine.execution_options(**{READS: True, **(SERVER_READS if engine.dialect.name == "postgresql" else {})})


@contextmanager
def _signals_held() -> Iterator[None]:
    """Delay SIGINT and SIGTERM until after the body."""
    if threading.current_thread() is not threading.main_thread():  # signals never interrupt another thread
        yield
        return
    arrived: list[int] = []
    handlers = {
        number: signal.signal(number, lambda number, _frame: arrived.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if arrived:
            signal.raise_signal(arrived[0])
