"""Do the pages tell predictions that a classifier elsewhere made from those of our own, and advise what fits them?"""

from datetime import timedelta

import pytest
from sqlalchemy import select
from streamlit.testing.v1 import AppTest

from db import session as database
from db import tallies
from db.models import Image, Prediction, Report, Run, VectorIndex, now
from tests.dashboard.opened import Workbench, asked, linked, open_page, said

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def imported(workbench: Workbench) -> int:
    """Id of a finished, current run of imported predictions of the test split by a classifier named "ensemble"."""
    with database.transaction(workbench.engine) as db:
        known = db.scalars(select(Run).where(Run.kind == "predict")).one()
        known.summary = {**(known.summary or {}), "recipe": "ensemble"}
        made = ("dataset_id", "code_version", "status", "host", "pid", "finished")
        run = Run(kind="predict", fingerprint="i" * 64, **{name: getattr(known, name) for name in made})
        run.config = {"classifier": "ensemble", "split": "test", "threshold": 0.4}
        run.summary = {"threshold": 0.4, "recipe": "ensemble", "imported": True}
        run.current_since = now() + timedelta(seconds=9)
        db.add(run)
        db.flush()
        ids = db.scalars(select(Prediction.image_id).where(Prediction.run_id == known.id)).all()
        db.add_all(Prediction(run_id=run.id, image_id=image, logit=0.5, probability=0.62) for image in ids)
        db.flush()
        tallies.predictions(db, run)
        return run.id


def image_of(workbench: Workbench, split: str) -> int:
    with database.transaction(workbench.engine) as db:
        return db.scalars(select(Image.id).where(Image.split == split).order_by(Image.id)).first() or 0


def of_kind(workbench: Workbench, kind: str) -> int:
    with database.transaction(workbench.engine) as db:
        return db.scalars(select(Run.id).where(Run.kind == kind).order_by(Run.id)).first() or 0


def keys(at: AppTest) -> set[str]:
    """The names of the page's linked components."""
    return {one.proto.id.rpartition("-")[2] for one in at.get("bidi_component")}


def test_wherever_a_run_is_named_an_imported_one_says_so_and_our_own_of_that_name_does_not(
    workbench: Workbench, imported: int
) -> None:
    own = of_kind(workbench, "predict")
    menu = next(one for one in open_page("cases").selectbox if one.label == "Predictions")
    assert f"Test predictions, run {imported}, ensemble, imported" in menu.options
    assert f"Predictions, run {own}, ensemble" in menu.options
    case = open_page("case", image=image_of(workbench, "test"))
    rows = {row[0]["text"]: row[1]["text"] for row in linked(case, "history")["rows"]}
    assert (rows[str(imported)], rows[str(own)]) == ("ensemble, imported", "ensemble")
    facts = {row[0]["text"]: row[1]["text"] for row in linked(case, "facts")["rows"]}
    assert facts["Predicted by"] == f"run {imported} (predict, ensemble, imported)"
    listed = {row[0]["text"]: row[2]["text"] for row in linked(open_page("runs", kind="predict"), "runs")["rows"]}
    assert (listed[str(imported)], listed[str(own)]) == ("ensemble, imported, test", "ensemble")
    assert f"Run {imported}: predict, ensemble, imported, test, finished" in said(open_page("runs", run=imported))
    heads = {own: "Classifier ensemble, threshold 60.0 %:"}
    heads[imported] = "Classifier ensemble, imported, threshold 40.0 %:"
    evaluation = of_kind(workbench, "evaluate")
    for number, head in heads.items():
        with database.transaction(workbench.engine) as db:
            db.get_one(Run, evaluation).config = {"predict_run": number}
        at = open_page("overview")
        assert linked(at, "classifier")["steps"][0]["text"] == head
        elsewhere = f"predict run {imported} (ensemble, imported) is current"
        assert (elsewhere in said(at).replace("\\", "")) == (number == own)


def test_a_case_of_imported_predictions_has_no_heatmap_and_leads_to_the_run_that_has_one(
    workbench: Workbench, imported: int
) -> None:
    own, image = of_kind(workbench, "predict"), image_of(workbench, "test")
    at = open_page("case", image=image, threshold=0.7)
    assert "These predictions were imported without a heatmap." in said(at)
    assert "The selected run has no heatmap" not in said(at)
    (link,) = linked(at, "explained")["steps"]
    assert link["text"] == f"Run {own}, ensemble, has a heatmap"
    page, parameters = asked(link["href"])
    assert (page, parameters) == ("case", {"image": str(image), "run": str(own)})
    there = open_page(page, **parameters)
    assert linked(there, "film")["heat"] and "explained" not in keys(there)
    nowhere = open_page("case", image=image_of(workbench, "train"))
    assert "These predictions were imported without a heatmap." in said(nowhere) and "explained" not in keys(nowhere)


def test_an_image_that_imported_predictions_leave_out_is_to_be_imported_and_not_predicted(
    workbench: Workbench, imported: int
) -> None:
    at = open_page("case", image=image_of(workbench, "train"))
    commands = next(one.value for one in at.code if "jobs report" in one.value).splitlines()
    options = "--classifier ensemble --threshold 0.4 --split train"
    assert commands == [
        f"python -m jobs import_predictions --dataset sample FILE {options}",
        "python -m jobs report --dataset sample --images all --split train",
    ]
    own = open_page("case", image=image_of(workbench, "train"), run=of_kind(workbench, "predict"))
    assert "python -m jobs predict --dataset sample --split train" in said(own)


def test_of_many_runs_a_case_lists_the_latest_and_the_selected_one_and_links_to_the_others(
    workbench: Workbench, imported: int
) -> None:
    image, first = image_of(workbench, "test"), of_kind(workbench, "predict")
    assert "more" not in keys(open_page("case", image=image))
    with database.transaction(workbench.engine) as db:
        known = db.get_one(Run, imported)
        columns = {field.key: getattr(known, field.key) for field in Run.__mapper__.column_attrs if field.key != "id"}
        later = [Run(**columns | {"fingerprint": f"{number:064d}"}) for number in range(10)]
        db.add_all(later)
        db.flush()
        db.add_all(Prediction(run_id=run.id, image_id=image, logit=0.5, probability=0.62) for run in later)
        ids = [run.id for run in later]
    at = open_page("case", image=image, run=first)
    assert [row[0]["text"] for row in linked(at, "history")["rows"]] == [*map(str, ids[:1:-1]), str(first)]
    (link,) = linked(at, "more")["steps"]
    assert link["text"] == "and 3 more" and asked(link["href"])[0] == "runs"


def learnt(workbench: Workbench, train_run: int) -> None:
    """Make the index one of the features that a train run's classifier learned."""
    with database.transaction(workbench.engine) as db:
        index = db.scalars(select(VectorIndex)).one()
        index.embedder = "classifier"
        db.get_one(Run, index.run_id).config = {"embedder": "classifier", "train_run": train_run}


def test_neighbours_are_no_second_opinion_on_the_classifier_whose_features_they_go_by_and_on_no_other(
    workbench: Workbench, imported: int
) -> None:
    train, own, image = of_kind(workbench, "train"), of_kind(workbench, "predict"), image_of(workbench, "test")
    learnt(workbench, train)
    with database.transaction(workbench.engine) as db:
        db.get_one(Run, train).summary = {"threshold": 0.6, "recipe": "lite0"}
    for page, asked_for in {"case": {}, "search": {"by": "image"}}.items():
        told = said(open_page(page, image=image, **asked_for))
        assert f"This index uses features of train run {train}'s classifier (lite0), not of the selected one." in told
        assert "second opinion" not in told
        for number in (own, train):
            told = said(open_page(page, image=image, run=number, **asked_for))
            assert "not a second opinion" in told and "not of the selected one" not in told


def test_features_of_a_member_are_not_a_second_opinion_on_its_ensemble(workbench: Workbench, imported: int) -> None:
    train, own = of_kind(workbench, "train"), of_kind(workbench, "predict")
    learnt(workbench, train)
    with database.transaction(workbench.engine) as db:
        made = ("dataset_id", "code_version", "status", "host", "pid", "finished")
        part = db.get_one(Run, train)
        both = Run(kind="train", fingerprint="e" * 64, config={"parts": {"lite0": train}})
        for name in made:
            setattr(both, name, getattr(part, name))
        db.add(both)
        db.flush()
        db.get_one(Run, own).config = {"train_run": both.id}
    told = said(open_page("case", image=image_of(workbench, "test"), run=own))
    assert "not a second opinion" in told


def test_an_index_whose_training_images_lie_apart_says_how_to_search_them(workbench: Workbench) -> None:
    learnt(workbench, of_kind(workbench, "train"))
    own = of_kind(workbench, "predict")
    page = ("case", {"image": image_of(workbench, "test"), "run": own})
    assert "lie apart" not in said(open_page(page[0], **page[1]))
    with database.transaction(workbench.engine) as db:
        for index in db.scalars(select(VectorIndex)):
            index.embedder = "multiview"
    told = said(open_page(page[0], **page[1]))
    assert "Training images lie apart from all others in this index: to search them, filter hits by split." in told


def test_a_report_written_from_another_run_s_probability_says_so(workbench: Workbench, imported: int) -> None:
    own = of_kind(workbench, "predict")
    with database.transaction(workbench.engine) as db:
        first, *_ = db.scalars(select(Report).order_by(Report.id))
        db.get_one(Run, first.run_id).config = {"model": "template", "predict_run": own}
        first.settings = {"classifier": {"threshold": 0.6}}
        image = first.image_id
    source = f"based on the probability of run {own}"
    for page, asked_for in {"case": {"image": image}, "reports": {"page": 3}}.items():
        assert said(open_page(page, **asked_for)).count(source) == 1
        assert source not in said(open_page(page, run=own, **asked_for))
