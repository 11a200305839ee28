"""Detecting writes to the database: a revision that changes with every commit, for the keys of cached answers."""

import threading
import uuid

from sqlalchemy import Engine, text


class Watch:
    """Detects commits by other connections, also those of other processes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._name = uuid.uuid4().hex
        self._lock = threading.Lock()
        # SQLite counts commits by others since a connection was opened, so one connection is kept open
        self._kept = engine.raw_connection() if engine.dialect.name == "sqlite" else None

    def revision(self) -> str:
        """The revision. It changes with every commit, and may change without one. Raises DBAPIError."""
        if self._kept is None:
            with self._engine.connect() as connection:
                return str(connection.scalar(text("SELECT pg_current_snapshot()::text")))
        with self._lock:
            cursor = self._kept.cursor()
            cursor.execute("PRAGMA data_version")
            (number,) = cursor.fetchone() or (0,)
            return f"{self._name} {number}"
