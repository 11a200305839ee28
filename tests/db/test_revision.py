"""The database's revision changes with every commit by anyone, and on SQLite with nothing else."""

import subprocess
import sys
from pathlib import Path

from sqlalchemy import Engine, func, select

from db import session
from db.models import Dataset
from db.revision import Watch

REPOSITORY = Path(__file__).parent.parent.parent
WRITE = """
import sys
from db import session
from db.models import Dataset
engine = session.connect(sys.argv[1])
with session.transaction(engine) as db:
    db.add(Dataset(name="other", root="/", synthetic=True))
"""


def test_a_write_by_another_process_changes_it(engine: Engine, database_url: str) -> None:
    watch = Watch(session.connect(database_url, read_only=True))
    before = watch.revision()
    subprocess.run([sys.executable, "-c", WRITE, database_url], cwd=REPOSITORY, check=True, timeout=60)
    assert watch.revision() != before


def test_a_write_by_this_process_changes_it_and_a_read_does_not(engine: Engine, database_url: str) -> None:
    reader = session.connect(database_url, read_only=True)
    watch = Watch(reader)
    before = watch.revision()
    with session.transaction(reader) as db:
        assert db.scalar(select(func.count()).select_from(Dataset)) == 0
    assert watch.revision() == before
    with session.transaction(engine) as db:
        db.add(Dataset(name="one", root="/", synthetic=True))
    after = watch.revision()
    assert after != before
    assert watch.revision() == after


def test_two_watches_never_share_a_mark_on_sqlite(engine: Engine, database_url: str) -> None:
    if engine.dialect.name == "sqlite":
        one, other = (Watch(session.connect(database_url, read_only=True)).revision() for _ in range(2))
        assert one != other
