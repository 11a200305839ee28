"""forget --dataset: deletes a dataset with its runs, but not what other datasets share with it, or people's work."""

from collections.abc import Collection
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from db import forgetting, session, tallies, writes
from db.models import Dataset, Image, ImageTag, Report, ReportScore, Review, Run
from db.queries import datasets
from engine.imaging.images import thumbnail_path
from jobs import forget, ingest
from jobs.command import Context
from jobs.run import ActiveRun, Work
from tests.jobs.test_forget import assert_whole, counts, error, everything, said
from tests.sample import build, films


@pytest.fixture
def two(context: Context, tmp_path: Path) -> tuple[int, int]:
    """Datasets `sample` and `other` with 12 images each, 6 of them shared."""
    made = [
        build(context.engine, context.artifacts, tmp_path / name, pictures=pictures, name=name)
        for name, pictures in (("sample", films(12)), ("other", [*films(6), *films(6, seed=1)]))
    ]
    return made[0], made[1]


def written_by(db: Session, run: Run, image: Image, *, like: Report) -> Report:
    """Another model's report on the image, with a score of its text."""
    copied = {column.name: getattr(like, column.name) for column in Report.__table__.columns}
    report = Report(**{**copied, "id": None, "run_id": run.id, "model": "theirs"})
    report.image_id, report.image_sha256 = image.id, image.sha256
    db.add(report)
    db.flush()
    db.add(ReportScore(report_id=report.id, metric="stance", value=1.0))
    return report


def shas(context: Context, dataset_id: int) -> set[str]:
    with session.reading(context.engine) as db:
        return set(db.scalars(select(Image.sha256).where(Image.dataset_id == dataset_id)))


def test_a_data_set_goes_with_images_thumbnails_and_runs_and_the_other_is_as_it_was(
    context: Context, two: tuple[int, int], job_options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    mine, other = (shas(context, number) for number in two)
    with session.reading(context.engine) as db:
        theirs = [run.id for run in db.scalars(select(Run).where(Run.dataset_id == two[1]))]
    assert forget.main(["--dataset", "sample", *job_options]) == 0
    lines = said(capsys).splitlines()
    assert lines[-1].endswith("to delete, run: python -m jobs forget --dataset sample --yes")
    assert forget.main(["--dataset", "sample", "--yes", *job_options]) == 0
    with session.reading(context.engine) as db:
        assert [one.name for one in datasets.every(db)] == ["other"]
        assert [run.id for run in db.scalars(select(Run).where(Run.kind != "forget"))] == theirs
        assert set(db.scalars(select(Image.sha256))) == other
    there = {path.stem for path in context.artifacts.glob("thumbnails/*/*.webp")}
    assert there == other != mine | other
    assert_whole(context)
    said(capsys)
    assert forget.main(["--dataset", "sample", "--yes", *job_options]) == 0
    assert said(capsys).startswith("forget: dataset 'sample' was already forgotten by run ")


def test_peoples_work_is_counted_and_goes_only_when_that_is_said(
    context: Context, two: tuple[int, int], job_options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with session.transaction(context.engine) as db:
        images = list(db.scalars(select(Image.id).where(Image.dataset_id == two[0]).order_by(Image.id)))
        kept = db.scalars(select(Image.id).where(Image.dataset_id == two[1])).first()
        assert kept is not None
        for reviewer, number in (("Anna", images[0]), ("Anna", images[1]), ("Ben", images[0])):
            writes.review(db, image_id=number, reviewer=reviewer, verdict="pneumonia", note="seen", tags=["rotated"])
        writes.tag(db, images[:5], "look again")
        writes.review(db, image_id=kept, reviewer="Anna", verdict="normal")
    before = everything(context)
    assert forget.main(["--dataset", "sample", *job_options]) == 0
    told = said(capsys)
    assert "people's work, which cannot be restored: 3 reviews (Anna 2, Ben 1) and 8 tags" in told
    assert told.splitlines()[-1].endswith("forget --dataset sample --reviews-too --yes")
    assert forget.main(["--dataset", "sample", "--yes", *job_options]) == 1
    assert "3 reviews (Anna 2, Ben 1) and 8 tags would be deleted too" in error(capsys)
    assert everything(context) == before
    assert forget.main(["--dataset", "sample", "--reviews-too", "--yes", *job_options]) == 0
    with session.reading(context.engine) as db:
        assert [review.image_id for review in db.scalars(select(Review))] == [kept]
        assert not db.scalars(select(ImageTag)).all()
    assert_whole(context)


def test_a_review_that_comes_while_it_is_asked_is_not_forgotten(
    context: Context,
    two: tuple[int, int],
    job_options: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with session.reading(context.engine) as db:
        first = db.scalars(select(Image.id).where(Image.dataset_id == two[0])).first()
        assert first is not None
    held = forgetting.hold

    def reviewed(db: Session, run_ids: Collection[int], *, dataset_id: int | None) -> None:
        held(db, run_ids, dataset_id=dataset_id)
        writes.review(db, image_id=first, reviewer="Anna", verdict="normal")

    monkeypatch.setattr(forgetting, "hold", reviewed)
    assert forget.main(["--dataset", "sample", "--yes", *job_options]) == 1
    assert "an image of the dataset was reviewed in the meantime; run the same command again" in error(capsys)
    assert counts(context)["dataset"] == 2


def test_runs_of_another_data_set_by_its_classifier_are_built_on_it(
    context: Context, two: tuple[int, int], job_options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with session.reading(context.engine) as db:
        train = db.scalars(select(Run.id).where(Run.dataset_id == two[0], Run.kind == "train")).one()
    with ActiveRun.claim(context, Work(kind="predict", config={"train_run": train}, dataset_id=two[1])) as run:
        run.summary = {"train_run": train}
    assert forget.main(["--dataset", "sample", "--yes", *job_options]) == 1
    assert f"run {run.id} was built on runs " in error(capsys)
    assert forget.main(["--dataset", "sample", "--with-dependents", "--yes", *job_options]) == 0
    with session.reading(context.engine) as db:
        assert db.get(Run, run.id) is None
    assert_whole(context)


def test_a_report_of_a_shared_picture_that_the_other_data_sets_run_wrote_stays_with_it(
    context: Context, two: tuple[int, int], job_options: list[str]
) -> None:
    with session.transaction(context.engine) as db:
        theirs = db.scalars(select(Run).where(Run.dataset_id == two[1], Run.kind == "report")).first()
        shared = db.scalars(
            select(Image).where(Image.dataset_id == two[0], Image.sha256.in_(shas(context, two[1])))
        ).first()
        alone = db.scalars(
            select(Image).where(Image.dataset_id == two[0], Image.sha256.not_in(shas(context, two[1])))
        ).first()
        first = db.scalars(select(Report)).first()
        assert theirs and shared and alone and first
        for image in (shared, alone):
            written_by(db, theirs, image, like=first)
    with session.transaction(context.engine) as db:
        for number in two:
            tallies.dataset(db, number)
    assert forget.main(["--dataset", "sample", "--yes", *job_options]) == 0
    with session.reading(context.engine) as db:
        (left,) = db.scalars(select(Report).where(Report.model == "theirs")).all()
        assert left.image_sha256 == shared.sha256
        assert db.get_one(Image, left.image_id).dataset_id == two[1]
    assert_whole(context)


def test_scores_by_its_labels_go_with_it_from_reports_that_the_other_shows(
    context: Context, two: tuple[int, int], job_options: list[str]
) -> None:
    with session.transaction(context.engine) as db:
        theirs = db.scalars(select(Run).where(Run.dataset_id == two[1], Run.kind == "report")).first()
        image = db.scalars(
            select(Image).where(Image.dataset_id == two[0], Image.sha256.in_(shas(context, two[1])))
        ).first()
        first = db.scalars(select(Report)).first()
        assert theirs and image and first
        report = written_by(db, theirs, image, like=first)
        for number, value in zip(two, (0.0, 1.0), strict=True):
            db.add(ReportScore(report_id=report.id, dataset_id=number, metric="stance_agreement", value=value))
        db.flush()
        for number in two:
            tallies.dataset(db, number)
        wanted = report.id
    assert forget.main(["--dataset", "sample", "--yes", *job_options]) == 0
    with session.reading(context.engine) as db:
        left = {row.metric: row.value for row in db.query(ReportScore).filter_by(report_id=wanted)}
    assert left == {"stance": 1.0, "stance_agreement": 1.0}
    assert_whole(context)


def test_thumbnails_stay_where_another_database_works_in_the_same_folder(
    context: Context, two: tuple[int, int], job_options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    stranger = context.artifacts / "runs" / "0003-predict-0a1b2c3d"
    stranger.mkdir(parents=True)
    (stranger / "owner.txt").write_text("of another database\n")
    before = set(context.artifacts.glob("thumbnails/*/*.webp"))
    assert forget.main(["--dataset", "sample", "--yes", *job_options]) == 0
    assert "kept: thumbnails, because no run of this database made runs/0003-predict-0a1b2c3d" in said(capsys)
    assert set(context.artifacts.glob("thumbnails/*/*.webp")) == before and stranger.is_dir()


def test_a_folder_that_is_being_ingested_keeps_a_data_set_from_being_forgotten(
    context: Context, two: tuple[int, int], job_options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    ActiveRun.claim(context, Work(kind="ingest", config={"name": "third"}))
    assert forget.main(["--dataset", "sample", "--yes", *job_options]) == 1
    assert "is ingesting a folder; wait for it" in error(capsys)
    assert counts(context)["dataset"] == 2


def test_a_data_set_that_was_forgotten_can_be_ingested_again_under_its_name(
    context: Context, job_options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for film in films(6):
        path = tmp_path / "films" / film.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(film.data)
    words = [str(tmp_path / "films"), "--name", "it's mine", *job_options]
    for _ in range(2):
        assert ingest.main(words) == 0
        assert "already done" not in said(capsys)
        assert len(list(context.artifacts.glob("thumbnails/*/*.webp"))) == 6
        assert forget.main(["--dataset", "it's mine", *job_options]) == 0
        assert said(capsys).splitlines()[-1].endswith("""forget --dataset 'it'"'"'s mine' --yes""")
        assert forget.main(["--dataset", "it's mine", "--yes", *job_options]) == 0
        assert not list(context.artifacts.glob("thumbnails/*/*.webp"))
        said(capsys)
    with session.reading(context.engine) as db:
        assert not db.scalars(select(Dataset)).all()
        assert {run.kind for run in db.scalars(select(Run))} == {"forget"}


def test_thumbnails_that_are_needed_again_when_it_goes_on_stay(
    context: Context, two: tuple[int, int], job_options: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("jobs.forgetting.leftovers.remove_thumbnails", killed)
        with pytest.raises(Killed):
            forget.main(["--dataset", "sample", "--yes", *job_options])
    build(context.engine, context.artifacts, tmp_path / "sample", pictures=films(8), name="third")
    assert forget.main(["--dataset", "sample", "--yes", *job_options]) == 0
    with session.reading(context.engine) as db:
        needed = set(db.scalars(select(Image.sha256)))
    assert all(thumbnail_path(context.artifacts, sha256).is_file() for sha256 in needed)
    assert {path.stem for path in context.artifacts.glob("thumbnails/*/*.webp")} == needed
