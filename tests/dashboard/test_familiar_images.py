"""Pages warn of predictions on images that their classifier was trained on."""

import pytest
from sqlalchemy import select

from db import session as database
from db.models import Image, Prediction, Run, TrainedOn
from tests.dashboard.opened import Workbench, linked, open_page, said

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def learn(workbench: Workbench, *, images: int | None) -> tuple[int, int]:
    """Train the predict run's classifier on the first `images` of those it scored, None for all; returns the predict
    run's id and the number of images that it scored."""
    with database.transaction(workbench.engine) as db:
        train = db.scalars(select(Run.id).where(Run.kind == "train")).one()
        predict = db.scalars(select(Run).where(Run.kind == "predict")).one()
        predict.summary = {**(predict.summary or {}), "train_run": train}
        scored = select(Image).join(Prediction, Prediction.image_id == Image.id).where(Prediction.run_id == predict.id)
        found = db.scalars(scored.order_by(Image.id)).all()
        for image in found[:images]:
            db.add(TrainedOn(run_id=train, image_sha256=image.sha256, patient_key=image.patient_key))
        return predict.id, len(found)


@pytest.mark.parametrize("page", ["cases", "runs", "overview"])
def test_pages_say_how_many_images_the_classifier_was_trained_on(workbench: Workbench, page: str) -> None:
    run, scored = learn(workbench, images=5)
    [warning] = [one.value for one in open_page(page, run=run).warning if "trained" in one.value]
    assert warning.startswith(f"The classifier of predict run {run} was trained on 5 of the {scored} images ")
    assert "that it scored, or on other images of their patients" in warning


@pytest.mark.parametrize("page", ["cases", "runs", "overview"])
def test_pages_are_silent_if_all_images_are_new(workbench: Workbench, page: str) -> None:
    run, _ = learn(workbench, images=0)
    assert "trained on" not in "".join(one.value for one in open_page(page, run=run).warning)


def test_a_case_says_whether_the_classifier_was_trained_on_it(workbench: Workbench) -> None:
    run, _ = learn(workbench, images=1)
    with database.transaction(workbench.engine) as db:
        scored = db.scalars(select(Prediction.image_id).where(Prediction.run_id == run).order_by(Prediction.image_id))
        first, *others = scored.all()
        train = db.scalars(select(Run.id).where(Run.kind == "train")).one()
        known = {image.id: image.patient_key for image in db.scalars(select(Image))}
    apart = next(number for number in others if known[number] != known[first])
    for number, warned in ((first, True), (apart, False)):
        page = open_page("case", image=number, run=run)
        assert ("trained on this image or its patient" in str(linked(page, "facts"))) is warned
    assert "trained on this" not in str(linked(open_page("case", image=first, run=train), "facts"))


def test_the_warning_is_about_the_selected_split_and_not_about_out_of_fold_predictions(workbench: Workbench) -> None:
    run, _ = learn(workbench, images=5)
    with database.transaction(workbench.engine) as db:
        train = db.scalars(select(Run.id).where(Run.kind == "train")).one()
    for asked in ({"run": run, "split": "train"}, {"run": train}):
        assert "trained on" not in "".join(one.value for one in open_page("cases", **asked).warning)
    assert "trained on 5" in said(open_page("cases", run=run, split="test"))


def test_the_overview_says_why_it_cannot_be_evaluated_instead_of_a_command_that_fails(workbench: Workbench) -> None:
    run, _ = learn(workbench, images=None)
    with database.transaction(workbench.engine) as db:
        db.scalars(select(Run).where(Run.kind == "evaluate")).one().status = "failed"
    told = said(open_page("overview"))
    assert f"Predict run {run} cannot be evaluated" in told
    assert "jobs evaluate" not in told


def test_the_count_of_a_split_says_that_it_covers_all_of_the_split(workbench: Workbench) -> None:
    run, _ = learn(workbench, images=None)
    at = open_page("cases", run=run, split="test", outcome="FN")
    assert any("images that it scored in split test, or on" in one.value for one in at.warning)
