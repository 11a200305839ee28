import signal
from pathlib import Path
from unittest.mock import Mock

import pysqlite3
import pytest
from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import DBAPIError, OperationalError

from dashboard import resources
from db import schema, session, writes
from db.models import Dataset, Image, Metric, Run
from settings import Settings


def test_a_read_only_engine_cannot_write(engine: Engine, database_url: str) -> None:
    reader = session.connect(database_url, read_only=True)
    with pytest.raises(DBAPIError), reader.begin() as connection:
        connection.execute(text("DELETE FROM dataset"))
    reader.dispose()


def test_reading_holds_up_no_writer_sees_one_state_and_cannot_write(engine: Engine, database_url: str) -> None:
    writer = session.connect(database_url, patience=0.1)
    with session.reading(engine) as db:
        assert db.query(Dataset).count() == 0
        with session.transaction(writer) as other:
            other.add(Dataset(name="meanwhile", root="/", synthetic=False))
        assert db.query(Dataset).count() == 0
    writer.dispose()
    with pytest.raises(DBAPIError), session.reading(engine) as db:
        db.execute(text("DELETE FROM dataset"))
    with session.transaction(engine) as db:  # the same connection, perhaps
        assert db.query(Dataset).count() == 1
        db.execute(text("DELETE FROM dataset"))


def test_a_signal_ends_reading_at_once(engine: Engine) -> None:
    seen = []
    former = signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it may be ignored
    try:
        with pytest.raises(KeyboardInterrupt), session.reading(engine):
            signal.raise_signal(signal.SIGINT)
            seen.append("went on")
    finally:
        signal.signal(signal.SIGINT, former)
    assert not seen


def test_a_broken_transaction_leaves_nothing(engine: Engine) -> None:
    with pytest.raises(RuntimeError), session.transaction(engine) as db:
        db.add(Dataset(name="half", root="/", synthetic=False))
        db.flush()
        raise RuntimeError
    with session.transaction(engine) as db:
        assert db.query(Dataset).count() == 0


def test_times_come_back_aware(engine: Engine) -> None:
    with session.transaction(engine) as db:
        db.add(Dataset(name="timed", root="/", synthetic=False))
    with session.transaction(engine) as db:
        assert db.query(Dataset).one().created.utcoffset() is not None


def test_the_id_of_a_forgotten_image_is_not_given_to_another(engine: Engine) -> None:
    def added(name: str) -> int:
        with session.transaction(engine) as db:
            dataset = db.query(Dataset).first() or Dataset(name="d", root="/", synthetic=False)
            db.add(dataset)
            db.flush()
            facts = {"dataset_id": dataset.id, "path": name, "patient_key": name, "width": 1, "height": 1}
            image = Image(sha256=name * 64, **facts)
            db.add(image)
            db.flush()
            return image.id

    first = added("a")
    with session.transaction(engine) as db:
        writes.forget_images(db, [first])
    assert added("b") > first


def test_storing_a_metric_twice_keeps_the_later_value(engine: Engine) -> None:
    with session.transaction(engine) as db:
        run = Run(kind="evaluate", fingerprint="f", config={}, code_version="c", status="running", host="h", pid=1)
        db.add(run)
        db.flush()
        for value in (0.5, 0.75):
            writes.metrics(db, run.id, [writes.MetricValue("auc", "test", value)])
    with session.transaction(engine) as db:
        assert [metric.value for metric in db.query(Metric)] == [0.75]


@pytest.mark.parametrize(
    ("version", "safe"),
    [
        ("3.6.23", True),
        ("3.7.0", False),
        ("3.40.1", False),
        ("3.44.5", False),
        ("3.44.6", True),
        ("3.45.0", False),
        ("3.50.6", False),
        ("3.50.7", True),
        ("3.51.2", False),
        ("3.51.3", True),
        ("3.53.4", True),
    ],
)
def test_wal_is_used_only_where_sqlite_cannot_corrupt_it(version: str, safe: bool) -> None:
    assert session.wal_is_safe(version) is safe


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://someone:hunter22@127.0.0.1:1/none",
        "postgresql://127.0.0.1:1/none?user=someone&password=hunter22",
        "postgresql://127.0.0.1:1/none?no_such_option=hunter22",
        "postgresql://someone:hunter22@127.0.0.1:abc/none",
        "postgresql+psycopg2://someone:hunter22@127.0.0.1/none",
        "sqlite+aiosqlite:///x.db",
        "sqlite://x.db",
        "sqlite://",
        "sqlite:///:memory:",
        "mysql://x",
        "nonsense",
        "sqlite:////proc/nowhere/x.db",
    ],
)
def test_an_unusable_database_is_one_line_without_its_password(url: str) -> None:
    with pytest.raises(session.DatabaseUnavailableError) as caught:
        session.connect(url)
    message = str(caught.value)
    assert "\n" not in message and "hunter22" not in message and "DATABASE_URL" in message
    assert resources._file_number(url) is None


def test_the_cause_of_an_error_is_one_line_in_the_drivers_own_words() -> None:
    said = Exception("\nconnection refused\n\tIs the server running?\n")
    values = {"note": "of Doe^Jane"}
    assert session.cause(OperationalError("INSERT INTO review", values, said)) == "connection refused"
    assert session.cause(OperationalError("INSERT INTO review", values, Exception())) == "OperationalError"
    assert session.cause(session.DatabaseUnavailableError("no database at x")) == "no database at x"


@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_that_is_no_database_is_found_at_once_and_left_alone(tmp_path: Path, read_only: bool) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a database, but long enough to be taken for the header of one " * 20)
    before = file.read_bytes()
    with pytest.raises(session.DatabaseUnavailableError, match=r"notes\.txt cannot be opened .*set DATABASE_URL"):
        session.connect(f"sqlite:///{file}", read_only=read_only)
    assert file.read_bytes() == before


def test_an_error_of_the_disk_tells_to_look_whether_it_is_full(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    made = session.connect(url)
    schema.upgrade(made)
    made.dispose()
    (tmp_path / "x.db-journal" / "taken").mkdir(parents=True)
    with pytest.raises(session.DatabaseUnavailableError, match=r"disk I/O error\); check whether the disk is full, or"):
        session.connect(url)


@pytest.mark.parametrize("folder", ["plain", "a%20b?c#d e", "per%cent", "key=1&mode=rwc+x"])
def test_jobs_and_pages_open_the_same_file_whatever_the_artifact_folder_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    for name in ("DATABASE_URL", "PNEUMOSCOPE_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PNEUMOSCOPE_ARTIFACTS", str(tmp_path / folder))
    url = Settings(_env_file=None).database
    writer = session.connect(url)
    schema.upgrade(writer)
    reader = session.connect(url, read_only=True)
    with writer.begin() as connection:
        connection.execute(text("CREATE TABLE mark (x INTEGER)"))
    with reader.begin() as connection:
        assert inspect(connection).has_table("mark")
        with pytest.raises(DBAPIError):
            connection.execute(text("DROP TABLE mark"))
    (file,) = tmp_path.rglob("*.db")
    assert file == tmp_path / folder / "pneumoscope.db" and [entry.name for entry in tmp_path.iterdir()] == [folder]
    assert resources._file_number(url) == file.stat().st_ino
    writer.dispose()
    reader.dispose()


def test_setting_the_journal_waits_while_another_process_does_so() -> None:
    cursor = Mock()
    cursor.execute.side_effect = [pysqlite3.OperationalError("database is locked"), None]
    session._journal(cursor, "WAL", patience=5)
    assert cursor.execute.call_count == 2
    cursor.execute.side_effect = pysqlite3.OperationalError("attempt to write a readonly database")
    with pytest.raises(pysqlite3.OperationalError):
        session._journal(cursor, "WAL", patience=5)


def test_a_read_only_engine_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(session.DatabaseUnavailableError):
        session.connect(f"sqlite:///{tmp_path / 'absent.db'}", read_only=True)
    assert list(tmp_path.iterdir()) == []
