import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Engine, insert, inspect, select, text
from sqlalchemy.orm import Session

from db import schema, session, tallies
from db.models import Artifact, Base, Dataset, Image, ImageTally, Prompt, Report, ReportScore, Run
from db.queries import reports
from db.queries.reports import ReportQuestion

REPOSITORY = Path(__file__).parent.parent.parent


def test_migrations_make_exactly_the_tables_of_the_models(engine: Engine) -> None:
    with engine.begin() as connection:
        command.check(schema._alembic(connection))
    assert set(Base.metadata.tables) <= set(inspect(engine).get_table_names())


def test_the_schema_state_goes_from_empty_to_current_to_newer(database_url: str) -> None:
    engine = session.connect(database_url)
    assert schema.state(engine) == "empty"
    schema.upgrade(engine)
    assert schema.state(engine) == "current"
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert schema.state(engine) == "newer"
    engine.dispose()


def test_migrations_can_be_undone(engine: Engine) -> None:
    """Also where a file is larger than the older column takes."""
    with Session(engine) as db, db.begin():
        run = Run(kind="embed", fingerprint="e" * 64, config={}, code_version="t", status="finished", pid=1, host="t")
        db.add(run)
        db.flush()
        db.add(Artifact(run_id=run.id, name="vector_index", path="a", sha256="a" * 64, bytes=3 * 10**9))
    with Session(engine) as db:
        assert db.scalars(select(Artifact.bytes)).one() == 3 * 10**9
    with engine.begin() as connection:
        command.downgrade(schema._alembic(connection), "base")
    assert set(inspect(engine).get_table_names()) <= {"alembic_version"}


def test_several_processes_may_upgrade_a_database_at_once(database_url: str) -> None:
    upgrade = "import sys; from db import schema, session; schema.upgrade(session.connect(sys.argv[1]))"
    asked = [sys.executable, "-c", upgrade, database_url]
    processes = [subprocess.Popen(asked, cwd=REPOSITORY, stderr=subprocess.PIPE) for _ in range(4)]
    said = [process.communicate(timeout=120)[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, said


def test_an_upgrade_that_is_broken_off_leaves_nothing_and_the_next_one_counts(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = session.connect(database_url)
    with engine.begin() as connection:
        command.upgrade(schema._alembic(connection), "0004")
        connection.execute(insert(Dataset).values(name="old", root="/", synthetic=False))
        size = {"width": 1, "height": 1, "file_count": 2}
        connection.execute(insert(Image).values(dataset_id=1, sha256="a", path="a", patient_key="p", **size))

    def broken_off(_db: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(tallies, "missing", broken_off)
        schema.upgrade(engine)
    assert schema.state(engine) == "old"
    schema.upgrade(engine)
    with session.transaction(engine) as db:
        assert [(tally.images, tally.files) for tally in db.query(ImageTally)] == [(1, 2)]
    engine.dispose()


def test_the_schema_is_looked_at_while_another_writes(engine: Engine, database_url: str) -> None:
    other = session.connect(database_url, patience=0.1)
    with session.transaction(engine) as db:
        db.add(Dataset(name="unfinished", root="/", synthetic=False))
        db.flush()
        assert schema.state(other) == "current"
        schema.upgrade(other)
    other.dispose()


def test_another_programs_sqlite_file_is_left_alone(tmp_path: Path) -> None:
    engine = session.connect(f"sqlite:///{tmp_path / 'places.db'}")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE image (name TEXT)"))
    with pytest.raises(session.DatabaseUnavailableError, match="another program's"):
        schema.upgrade(engine)
    assert inspect(engine).get_table_names() == ["image"]
    engine.dispose()


def test_the_migration_keeps_scores_whose_dataset_is_known(database_url: str) -> None:
    """Images x of dataset 1, y of both and z of dataset 2; a run of dataset 1 wrote all reports."""
    for scoring, kept in (({1}, {"x": 1, "y": 1, "z": None}), ({1, 2}, {"x": 1, "y": None, "z": None})):
        engine = session.connect(database_url)
        with engine.begin() as connection:
            command.upgrade(schema._alembic(connection), "0011")
            for number, holds in ((1, "xy"), (2, "yz")):
                connection.execute(insert(Dataset).values(id=number, name=str(number), root="/", synthetic=False))
                for sha in holds:
                    facts = {"sha256": sha, "path": sha, "patient_key": sha, "width": 1, "height": 1}
                    connection.execute(insert(Image).values(dataset_id=number, **facts))
            run = {"fingerprint": "f", "config": {}, "code_version": "c", "status": "finished", "pid": 1, "host": "h"}
            for number in sorted(scoring):
                kind = "report" if number == 1 else "score"
                connection.execute(insert(Run).values(id=number, kind=kind, dataset_id=number, **run))
            connection.execute(insert(Prompt).values(sha256="p", strategy="basic", text="?"))
            for number, sha in enumerate("xyz", 1):
                image = connection.scalar(select(Image.id).where(Image.sha256 == sha).limit(1))
                written = {"run_id": 1, "image_id": image, "image_sha256": sha, "model": "m", "revision": "r"}
                written |= {"strategy": "basic", "prompt_sha256": "p", "settings_sha256": "s", "text": "."}
                connection.execute(insert(Report).values(id=number, **written, settings={}, seconds=0.0, tokens=1))
                for metric in ("stance", "stance_agreement"):
                    score = {"report": number, "metric": metric}
                    added = "INSERT INTO report_score (report_id, metric, value) VALUES (:report, :metric, 1.0)"
                    connection.execute(text(added), score)
        schema.upgrade(engine)
        with session.transaction(engine) as db:
            query = select(Report.image_sha256, ReportScore.metric, ReportScore.dataset_id)
            found = {tuple(row) for row in db.execute(query.join(Report, Report.id == ReportScore.report_id))}
            owned = {(sha, "stance_agreement", number) for sha, number in kept.items() if number}
            assert found == owned | {(sha, "stance", None) for sha in "xyz"}
            assert [reports.tallied(db, ReportQuestion(number)) for number in (1, 2)] == [2, 2]
        with engine.begin() as connection:
            command.downgrade(schema._alembic(connection), "base")
        engine.dispose()
