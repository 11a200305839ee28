"""Working with the cases page: another threshold, changed predictions, selecting, tagging, downloading."""

import csv
import io
import json
from dataclasses import replace

import pytest
import streamlit as st
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from streamlit.testing.v1 import AppTest

from dashboard.components import filters
from dashboard.components.cases import exports, selection
from db import session as database
from db import tallies, writes
from db.models import Dataset, Image, ImageMeasure, ImageTag, Prediction, Review, Run
from db.queries import attributes, cases
from db.queries.cases import Question
from tests.dashboard.opened import PINNED, Workbench, asked, audited, linked, open_page, said
from tests.sample import THRESHOLD, build, films

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def shown(at: AppTest) -> list[int]:
    """The images in the grid."""
    return [int(asked(card["href"])[1]["image"]) for card in linked(at, "cases")["cards"]]


def scored(workbench: Workbench) -> dict[int, tuple[int, float]]:
    """Label and probability of each predicted test image."""
    with database.transaction(workbench.engine) as db:
        run = db.scalars(select(Run.id).where(Run.kind == "predict").order_by(Run.id)).first()
        query = select(Image.id, Image.label, Prediction.probability).join(Prediction, Prediction.image_id == Image.id)
        return {row.id: (row.label, row.probability) for row in db.execute(query.where(Prediction.run_id == run))}


def other_run(workbench: Workbench) -> int:
    """A second predict run whose probabilities are the first one's, turned round; its threshold is .5."""
    known = scored(workbench)
    with database.transaction(workbench.engine) as db:
        run = db.scalars(select(Run).where(Run.kind == "predict")).one()
        kept = ("kind", "dataset_id", "config", "code_version", "status", "host", "pid", "finished")
        other = Run(**{name: getattr(run, name) for name in kept}, fingerprint="o" * 64, summary={"threshold": 0.5})
        other.finished = run.finished
        db.add(other)
        db.flush()
        for image_id, (_, probability) in known.items():
            db.add(Prediction(run_id=other.id, image_id=image_id, logit=0.0, probability=1 - probability))
        db.flush()
        tallies.predictions(db, other)
        return other.id


def runs(workbench: Workbench) -> list[Run]:
    with database.transaction(workbench.engine) as db:
        return list(db.scalars(select(Run).order_by(Run.id)))


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.333, 0.9, 1.0])
def test_another_threshold_updates_counts_metrics_and_marks(workbench: Workbench, threshold: float) -> None:
    known = scored(workbench)
    at = open_page("cases", threshold=threshold, split="test")
    assert at.slider(key="url_threshold").value == threshold
    calls = {image: (label, p >= threshold, p >= THRESHOLD) for image, (label, p) in known.items()}
    found = sum(label == 1 and called for label, called, _ in calls.values())
    ill = sum(label for label, _, _ in calls.values())
    cells = [cell["text"] for row in linked(at, "confusion")["rows"] for cell in row]
    assert f"TP  {found}" in cells and f"FN  {ill - found}" in cells
    row = [cell["text"] for cell in linked(at, "at_threshold")["rows"][1]]
    assert row[0] == f"{100 * threshold:.1f} %" and row[1].startswith(f"{100 * found / ill:.1f} %")
    moving = [image for image, (_, called, before) in calls.items() if called != before]
    assert f"**{len(moving)} prediction" in said(at)
    if moving:
        link = linked(at, "moved")["steps"][0]
        assert link["text"] == f"Show changed predictions ({len(moving)})"
        page, parameters = asked(link["href"])
        there = open_page(page, **parameters)
        assert sorted(shown(there)) == sorted(moving)
        assert all("\N{RIGHTWARDS ARROW}" in card["mark"] for card in linked(there, "cases")["cards"])


def test_metrics_say_which_images_they_cover_if_predictions_are_filtered(workbench: Workbench) -> None:
    other_run(workbench)
    first = min(run.id for run in runs(workbench) if run.kind == "predict")
    n = len(scored(workbench))
    for parameters, words in (
        ({"low": 0.4, "high": 0.6}, "the filter on probability and cover"),
        ({"against": first}, "the filter on the other run's call and cover"),
        (
            {"low": 0.4, "threshold": 0.2, "moved": "yes"},
            "the filter on probability and changed predictions and cover",
        ),
    ):
        at = open_page("cases", **parameters)
        assert f"cover all {n} images left by the other filters" in said(at) and words in said(at), parameters
        assert linked(at, "at_threshold")["rows"][0][-1]["text"] == str(n)
    assert "Metrics ignore" not in said(open_page("cases", outcome="FN", label="pneumonia"))


def test_the_runs_own_threshold_is_not_in_the_url_and_changes_nothing(workbench: Workbench) -> None:
    at = open_page("cases")
    assert at.slider(key="url_threshold").value == THRESHOLD
    assert len(linked(at, "at_threshold")["rows"]) == 1
    at.slider(key="url_threshold").set_value(0.25).run()
    assert at.query_params == {**PINNED, "threshold": "0.25"}
    at.slider(key="url_threshold").set_value(THRESHOLD).run()
    assert at.query_params == PINNED


def test_a_threshold_equal_to_the_runs_own_when_rounded_is_the_runs_own(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        run = db.scalars(select(Run).where(Run.kind == "predict")).one()
        run.summary = {**(run.summary or {}), "threshold": 0.39985}
    at = open_page("cases", threshold=0.4004)
    assert [row[0]["text"] for row in linked(at, "at_threshold")["rows"]] == ["40.0 % (run default)"]
    at.slider(key="url_threshold").set_value(0.25).run()
    at.slider(key="url_threshold").set_value(0.4).run()
    assert at.query_params == PINNED


def test_the_threshold_goes_along_to_the_case_and_its_neighbours_in_the_list(workbench: Workbench) -> None:
    first = linked(open_page("cases", threshold=0.2, outcome="FP"), "cases")["cards"][0]
    page, parameters = asked(first["href"])
    assert parameters["threshold"] == "0.2"
    at = open_page(page, **parameters)
    facts = {row[0]["text"]: row[1]["text"] for row in linked(at, "facts")["rows"]}
    assert facts["Threshold"] == "20.0 %" and facts["Prediction"].endswith("false positive")


def test_cases_that_another_run_calls_differently_show_both_probabilities(workbench: Workbench) -> None:
    other = other_run(workbench)
    known = scored(workbench)
    run = open_page("cases").selectbox(key="url_run").value
    assert run == str(other)  # the latest is in view
    first = min(
        int(option.rpartition("run ")[2].split(",")[0])
        for option in open_page("cases").selectbox(key="url_against").options
        if option != "no other run"
    )
    at = open_page("cases", against=first)
    wanted = [image for image, (_, p) in known.items() if (p >= THRESHOLD) != (1 - p >= 0.5)]
    assert sorted(shown(at)) == sorted(wanted) and wanted
    for card in linked(at, "cases")["cards"]:
        probability = known[int(asked(card["href"])[1]["image"])][1]
        assert f"run {first}: {100 * probability:.1f} %" in card["lines"]
    assert f"Only cases called differently by run {first}." in said(at)


def test_cases_that_no_other_run_calls_differently_are_one_filter_that_names_those_runs(workbench: Workbench) -> None:
    other_run(workbench)
    known = scored(workbench)
    first = min(run.id for run in runs(workbench) if run.kind == "predict")
    assert "no other run" in open_page("cases").selectbox(key="url_against").options
    alike = [image for image, (_, p) in known.items() if (p >= THRESHOLD) == (1 - p >= 0.5)]
    at = open_page("cases", against=f"none.{first}")
    assert sorted(shown(at)) == sorted(alike) and alike
    assert f"Only cases called differently by no other run ({first})." in said(at)
    page, parameters = asked(linked(at, "cases")["cards"][0]["href"])
    help = linked(open_page(page, **parameters), "steps")["steps"][0]["help"]
    assert "called differently by no other run" in help
    wrong = [image for image in alike if (known[image][1] >= THRESHOLD) != (known[image][0] == 1)]
    assert sorted(shown(open_page("cases", against=f"none.{first}", outcome="wrong"))) == sorted(wrong)
    lost = open_page("cases", against="none.99")
    assert len(shown(lost)) == len(shown(open_page("cases")))
    assert "**Ignored**, as unknown for these predictions: called differently by none.99." in said(lost).replace(
        "\\", ""
    )


def test_a_tag_is_added_to_the_selected_cases_filters_them_and_is_removed_again(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        writes.tag(db, [2], "rotated film")
    at = open_page("cases", chosen="3.1.999999.x.-4")
    assert "**2 selected**" in said(at)
    at.selectbox(key="tag_name").set_value("rotated film").run()
    at.button[[button.label for button in at.button].index("Tag 2 cases")].click().run()
    assert "Tag rotated film: added to 2 cases." in said(at)
    with database.transaction(workbench.engine) as db:
        assert sorted(tag.image_id for tag in db.scalars(select(ImageTag))) == [1, 2, 3]
    there = open_page("cases", tag="rotated film")
    assert sorted(shown(there)) == [1, 2, 3]
    assert all("tags: rotated film" in card["lines"] for card in linked(there, "cases")["cards"])
    with database.transaction(workbench.engine) as db:
        assert writes.tag(db, [1, 4], "rotated film") == 1
        assert writes.untag(db, [1, 2, 3, 4, 5], "rotated film") == 4


@pytest.mark.parametrize(("serial", "picked"), [(1, "1.2"), (8, "3"), ("x", "1.2")])
def test_a_selection_from_a_lost_session_changes_nothing(workbench: Workbench, serial: object, picked: str) -> None:
    def script() -> None:
        import streamlit as st

        from dashboard.components.cases import selection
        from dashboard.components.reviews.blind_queue import PICKED

        st.session_state["cases"] = {PICKED: {"ids": [3], "serial": st.session_state["sent"]}}
        selection._changed("cases")

    at = AppTest.from_function(script)
    at.session_state["sent"] = serial
    at.session_state[selection.SERIAL] = 7
    at.query_params.update({"chosen": "1.2"})
    at.run()
    assert not at.exception
    assert at.query_params == {"chosen": picked}


def test_cases_picked_in_one_dataset_are_not_picked_in_another(workbench: Workbench) -> None:
    build(workbench.engine, workbench.artifacts, workbench.folder / "others", pictures=films(4, seed=1), name="others")
    assert "**2 selected**" in said(open_page("cases", dataset="sample", chosen="1.2"))
    assert "**All 4 that match**" in said(open_page("cases", dataset="others", chosen="1.2"))


def test_at_the_runs_own_threshold_the_filter_on_changed_predictions_hides_nothing(workbench: Workbench) -> None:
    assert shown(open_page("cases", moved="yes")) == shown(open_page("cases"))
    assert shown(open_page("cases", moved="yes", threshold=0.2)) != shown(open_page("cases", threshold=0.2))


def test_changed_predictions_are_counted_for_all_cases_and_listed_for_the_filtered_ones(workbench: Workbench) -> None:
    known = scored(workbench)
    moving = [p for _, p in known.values() if 0.2 <= p < THRESHOLD]
    at = open_page("cases", threshold=0.2, split="test", low=0.3)
    assert f"**{len(moving)} prediction" in said(at)
    listed = sum(p >= 0.3 for p in moving)
    assert linked(at, "moved")["steps"][0]["text"] == f"Show changed predictions ({listed})"


@pytest.mark.parametrize("name", ["cases", "case", "search", "map", "reviews"])
def test_odd_parameters_in_the_url_break_no_page(workbench: Workbench, name: str) -> None:
    other_run(workbench)
    for odd in ({"path": "x", "dataset": "sample"}, {"cause": "\x00", "tag": "\x00"}, {"box": "nan,0,1e999,1"}):
        at = open_page(name, **{"image": 1, "by": "image", **odd})
        assert not at.exception, odd
        assert not at.error, odd


def test_another_run_is_offered_only_for_images_that_the_selected_run_has_not_scored(
    workbench: Workbench,
) -> None:
    other_run(workbench)
    hint = "The selected run has no predictions for these images"
    at = open_page("cases", split="train", cause="viral", outcome="wrong")
    assert hint in said(at)
    assert not [one for one in at.slider if one.key == "url_threshold"]
    assert not [one for one in at.get("bidi_component") if one.proto.id.endswith(("-confusion", "-at_threshold"))]
    (link,) = linked(at, "elsewhere")["steps"]
    (train,) = [run for run in runs(workbench) if run.kind == "train"]
    page, parameters = asked(link["href"])
    assert parameters == {"split": "train", "cause": "viral", "outcome": "wrong", "run": str(train.id)}
    there = open_page(page, **parameters)
    assert shown(there) and linked(there, "confusion") and hint not in said(there)
    assert hint in said(open_page("cases", split="test", run=train.id))
    for parameters in ({"tag": "no such tag"}, {"split": "train", "cause": "no such cause"}, {"outcome": "wrong"}):
        assert hint not in said(open_page("cases", **parameters)), parameters


@pytest.mark.parametrize(
    ("usual", "tried", "words"),
    [
        ((5, 4), (4, 2), "1 more pneumonia missed, 2 fewer false positives."),
        ((5, 4), (7, 5), "2 more pneumonias detected, 1 more false positive."),
        ((5, 4), (5, 3), "1 prediction changes: 1 fewer false positive."),
        ((5, 4), (5, 4), "No prediction changes."),
    ],
)
def test_changed_predictions_are_described_in_singular_and_plural(
    workbench: Workbench, usual: tuple[int, int], tried: tuple[int, int], words: str
) -> None:
    def script(workbench_id: int, usual: tuple[int, int], tried: tuple[int, int]) -> None:
        from dashboard.components.cases import threshold_slider
        from db.models import Dataset
        from db.queries.cases import Outcome, Question

        counts: list[dict[Outcome, int]] = [
            {"TP": tp, "FN": 9 - tp, "FP": fp, "TN": 9 - fp} for tp, fp in (usual, tried)
        ]
        before, after = counts
        moving = sum(abs(first - second) for first, second in zip(usual, tried, strict=True))
        dataset = Dataset(id=workbench_id, name="sample")
        threshold_slider._moved(dataset, Question(workbench_id), before, after, moving)

    at = AppTest.from_function(script, args=(workbench.dataset_id, usual, tried))
    at.run()
    assert not at.exception
    assert words in said(at).replace("**", "")


def test_a_click_together_with_another_tag_applies_that_tag(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        for name in ("rotated film", "expiration"):
            writes.tag(db, [3], name)
    at = open_page("cases", chosen="1.2")
    at.selectbox(key=selection.TAG).set_value("rotated film").run()
    at.selectbox(key=selection.TAG).set_value("expiration")
    at.button[[button.label for button in at.button].index("Tag 2 cases")].click().run()
    assert "Tag expiration: added to 2 cases." in said(at)
    at.button[[button.label for button in at.button].index("Tag 2 cases")].click().run()
    assert "Tag expiration: nothing to change." in said(at)


def test_an_invalid_tag_is_refused_in_one_line(workbench: Workbench) -> None:
    selection.put_on(lambda: [1], "x" * 61)
    told = st.session_state[selection.MESSAGE].replace("\\", "")
    assert told == "No tags were changed: a tag has 61 characters; 60 are allowed"
    with database.transaction(workbench.engine) as db:
        assert db.scalars(select(ImageTag)).all() == []


def test_a_database_that_refuses_a_tag_is_told_in_one_line(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> int:
        raise OperationalError("INSERT INTO image_tag", {}, Exception("connection lost\n\tThe server went away."))

    monkeypatch.setattr(writes, "tag", lost)
    selection.put_on(lambda: [1], "rotated")
    assert st.session_state[selection.MESSAGE] == "No tags were changed: connection lost"


def test_the_tag_of_a_review_is_found_as_well_and_does_not_come_off_alone(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        review = Review(image_id=5, reviewer="A", verdict="normal")
        db.add(review)
        db.flush()
        db.add(ImageTag(image_id=5, name="motion", review_id=review.id))
    assert shown(open_page("cases", tag="motion")) == [5]
    with database.transaction(workbench.engine) as db:
        assert writes.untag(db, [5], "motion") == 0
    assert shown(open_page("cases", reviewed="yes")) == [5]


def test_a_slice_of_the_audit_is_a_filter(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        number = audited(db, members=(1, 7)).id
    at = open_page("cases", slice=number)
    assert sorted(shown(at)) == [1, 7]
    assert "normal A, error rate 50.0 %" in at.selectbox(key="url_slice").options
    assert len(shown(open_page("cases", slice=number + 1))) == 48


def test_the_table_holds_the_same_cases_as_the_grid(workbench: Workbench) -> None:
    rows = linked(open_page("cases", outcome="wrong", look="table"), "cases")["rows"]
    assert [int(row[0]["text"]) for row in rows] == shown(open_page("cases", outcome="wrong"))


def test_files_hold_every_case_of_the_list_in_its_order(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        run = db.scalars(select(Run).where(Run.kind == "predict")).one()
        dataset = db.scalars(select(Dataset)).one()
        db.get_one(Image, 1).path = "=cmd.png"
        writes.tag(db, [1], "odd")
        question = Question(
            dataset.id, run_id=run.id, threshold=0.3, own_threshold=THRESHOLD, sort="wrong", split="test"
        )
        wanted = cases.page(db, question, limit=100)
    view = filters.View(question, run, [run])
    table = list(csv.DictReader(io.StringIO(exports.as_csv(exports.rows(view, [])))))
    lines = [json.loads(line) for line in exports.as_json_lines(exports.rows(view, [])).splitlines()]
    assert [int(row["image"]) for row in table] == [row["image"] for row in lines] == [case.id for case in wanted]
    assert [row["outcome"] for row in lines] == [case.outcome for case in wanted]
    assert [float(row["error"]) for row in table] == sorted((row["error"] for row in lines), reverse=True)
    first = next(row for row in table if row["image"] == "1")
    assert (first["file"], first["tags"]) == ("'=cmd.png", '["odd"]')
    picked = list(exports.rows(replace(view, question=replace(question, split="train")), [3, 1, 10**9]))
    assert [row["image"] for row in picked] == [3, 1]
    assert not any(row["under_stress"] for row in lines)
    with database.transaction(workbench.engine) as db:
        audit = audited(db, members=()).run_id
        db.add(ImageMeasure(run_id=audit, image_id=1, name="stress: noisy", value=0.71))
    (noisy,) = exports.rows(replace(view, question=replace(question, changed_under=(audit, "noisy"))), [])
    assert (noisy["image"], noisy["under_stress"]) == (1, 0.71)


def test_a_case_shows_the_prediction_of_each_run_at_the_runs_own_threshold(workbench: Workbench) -> None:
    other = other_run(workbench)
    image, (label, probability) = next(iter(scored(workbench).items()))
    rows = linked(open_page("case", image=image, split="test"), "history")["rows"]
    assert [row[0]["tone"] for row in rows] == ["chosen", ""]
    outcomes = [cases.outcome(label, 1 - probability, 0.5), cases.outcome(label, probability, THRESHOLD)]
    assert [row[4]["text"] for row in rows] == outcomes
    page, parameters = asked(rows[1][0]["href"])
    assert (page, parameters["split"]) == ("case", "test") and int(parameters["run"]) < other
    assert linked(open_page(page, **parameters), "history")["rows"][1][0]["tone"] == "chosen"


def test_each_active_filter_can_be_removed_by_itself(workbench: Workbench) -> None:
    at = open_page("cases", label="pneumonia", low="0.2", high="0.7", outcome="FN", run=2)
    steps = {one["text"]: one["href"] for one in linked(at, "filters")["steps"]}
    assert list(steps) == [
        "Label: Pneumonia \u00d7",
        "Outcome: Missed (FN) \u00d7",
        "Probability: 20.0 % to 70.0 % \u00d7",
        "All cases",
    ]
    page, left = asked(steps["Probability: 20.0 % to 70.0 % \u00d7"])
    assert (page, left["label"], left["outcome"]) == ("cases", "pneumonia", "FN") and not {"low", "high"} & left.keys()
    _, none = asked(steps["All cases"])
    assert not {"label", "outcome", "low", "high"} & none.keys()
    assert not [one for one in open_page("cases").get("bidi_component") if one.proto.id.endswith("-filters")]


def test_picked_cases_are_reviewed_as_a_queue_of_their_own(workbench: Workbench) -> None:
    at = open_page("cases", outcome="FN", chosen="1.3")
    (link,) = [one for one in at.get("page_link") if one.proto.label == "Review these"]
    assert link.proto.query_string == "split=all&chosen=1.3"
    queue = open_page("reviews", reviewer="Anna", split="all", chosen="1.3")
    assert "of 2 reviewed" in queue.get("progress")[0].proto.text
    assert any("selected by hand" in str(one.value) for one in queue.warning)


def test_a_subgroup_filter_is_shown_above_the_list_and_kept_in_every_link(workbench: Workbench) -> None:
    whole = shown(open_page("cases"))
    at = open_page("cases", **{"film.sex": "female", "film.view": "AP"})
    narrowed = shown(at)
    assert 0 < len(narrowed) < len(whole)
    with database.transaction(workbench.engine) as db:
        known = attributes.of_images(db, narrowed)
    assert all(known[number] == {"sex": "female", "view": "AP"} for number in narrowed)
    steps = {step["text"]: step["href"] for step in linked(at, "filters")["steps"]}
    assert asked(steps["Sex: female \N{MULTIPLICATION SIGN}"])[1].get("film.view") == "AP"
    assert "film.sex" not in asked(steps["All cases"])[1]
    assert shown(open_page("cases", **{"film.sex": "nonsense", "film.height": "tall"})) == whole


def test_images_with_an_unknown_attribute_are_a_subgroup_and_files_contain_the_known_values(
    workbench: Workbench,
) -> None:
    narrowed = shown(open_page("cases", **{"film.sex": "unknown"}))
    assert narrowed
    with database.transaction(workbench.engine) as db:
        assert all("sex" not in pairs for pairs in attributes.of_images(db, narrowed).values())
