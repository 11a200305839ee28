"""Do the pages let two reports, models and strategies be compared, and what is wrong with reports be found?"""

import csv
import io
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select, update
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Block

from dashboard.components import filters, wording
from dashboard.components.reports import exports, matches
from db import report_tallies
from db import session as database
from db.models import Dataset, Image, Metric, Prediction, Report, ReportFailure, ReportScore, Run, now
from db.queries import cases, reports
from db.queries.cases import Question
from db.queries.reports import ReportQuestion
from engine.reporting.generators import imported_reports
from engine.reporting.scores import OF_TEXT
from tests.dashboard.opened import PINNED, Workbench, asked, cell, linked, open_page, predicted_since, said
from tests.sample import THRESHOLD

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
FAULTS = {"contradictions": 2.0, "laterality": 0.5, "truncated": 1.0, "stance_agreement": 0.0, "repetition": 0.19}


@pytest.fixture
def first(workbench: Workbench) -> Report:
    """The first report, with faults."""
    with database.transaction(workbench.engine) as db:
        report = db.scalars(select(Report).order_by(Report.id)).first()
        assert report is not None
        report_tallies.take(db, [report.id])
        for metric, value in FAULTS.items():
            known = db.query(ReportScore).filter_by(report_id=report.id, metric=metric).one_or_none()
            if known is None:
                db.add(ReportScore(report_id=report.id, metric=metric, value=value))
            else:
                known.value = value
        db.flush()
        report_tallies.add(db, [report.id])
        return report


def other_model(workbench: Workbench, report: Report, text: str) -> int:
    """Another model's report on the same image under the same strategy."""
    names = ("run_id", "image_id", "image_sha256", "revision", "strategy", "prompt_sha256", "settings_sha256")
    kept = {name: getattr(report, name) for name in names}
    with database.transaction(workbench.engine) as db:
        row = Report(**kept, model="llava", settings={}, text=text, seconds=1.0, tokens=4)
        db.add(row)
        db.flush()
        return row.id


def test_scores_by_another_datasets_labels_are_neither_shown_nor_counted(workbench: Workbench, first: Report) -> None:
    wrong = "disagrees with the label"
    assert wrong in said(open_page("case", image=first.image_id))
    assert "1 of 24" in said(open_page("reports", problem="label"))
    with database.transaction(workbench.engine) as db:
        (here,) = db.scalars(select(Dataset)).all()
        other = Dataset(name="other", root="/", synthetic=True)
        db.add(other)
        db.flush()
        db.query(ReportScore).filter(ReportScore.metric.not_in(OF_TEXT)).update({"dataset_id": other.id})
        report_tallies.dataset(db, here.id)
        name = here.name
    again = wording.plain(f"python -m jobs score --dataset {name}")
    at = {"dataset": name}
    case, listed = said(open_page("case", image=first.image_id, **at)), said(open_page("reports", **at))
    assert wrong not in case and "not scored for this dataset" in case and again in case
    assert wrong not in listed and "24 reports are not scored for this dataset" in listed and again in listed
    assert "0 of 24" in said(open_page("reports", problem="label", **at))
    assert "contradicts itself" in case
    assert cell(open_page("overview", **at), "attention", "Reports that are not scored")


@pytest.mark.parametrize(
    ("asked_for", "count"),
    [
        ({"problem": "contradiction"}, 1),
        ({"problem": "side"}, 1),
        ({"problem": "truncated"}, 1),
        ({"problem": "label"}, 1),
        ({"problem": "repetition"}, 0),
        ({"problem": "form"}, 0),
        ({"problem": "nonsense"}, 24),
        ({"score": "laterality"}, 1),
        ({"score": "laterality", "score_low": 0.6}, 0),
        ({"score": "keyword_alignment", "score_low": 0.7, "score_high": 0.9}, 24),
        ({"score": "keyword_alignment", "score_high": 0.7}, 0),
        ({"score": "words"}, 24),
    ],
)
def test_reports_are_filtered_by_what_is_wrong_with_them_and_by_score(
    workbench: Workbench, first: Report, asked_for: dict[str, object], count: int
) -> None:
    at = open_page("reports", **asked_for)
    assert not at.exception
    assert f"{count} of 24 reports" in said(at)
    if asked_for == {"problem": "side"}:
        told = said(at)
        for problem in (
            "disagrees with the label",
            "contradicts itself",
            "side disagrees with the heatmap",
            "truncated",
        ):
            assert f"**{problem}**" in told


def test_a_problem_lists_its_reasons_as_plain_text_and_trivial_facts_are_omitted(
    workbench: Workbench, first: Report
) -> None:
    claims = ["Pneumonia: the image is labelled normal", "*12 mm*: no scale", "*12 mm*: no scale"]
    details = {"unsupported": {"claims": claims}, "contradictions": {"findings": ["air_bronchogram"]}}
    details["format"] = {"missing": ["verdict"]}
    with database.transaction(workbench.engine) as db:
        for metric, detail in details.items():
            db.query(ReportScore).filter_by(report_id=first.id, metric=metric).delete()
            value = 0.5 if metric == "format" else 1.0
            db.add(ReportScore(report_id=first.id, metric=metric, value=value, detail=detail))
    for at in (open_page("reports", problem="contradiction"), open_page("case", image=first.image_id)):
        told = said(at).replace("\\", "")
        assert "**unsupported claims** (Pneumonia: the image is labelled normal; *12 mm*: no scale)" in told
        assert "**contradicts itself** (air bronchogram: both)" in told
        assert "**not in the required format** (verdict: missing)" in told
        assert "\\*12 mm\\*" in said(at)
        assert "generated in" not in told and "stance agreement" not in told.lower()


@pytest.mark.parametrize(
    "asked_for",
    [
        {"outcome": "FN"},
        {"outcome": "wrong", "label": "normal"},
        {"outcome": "TP", "cause": "viral"},
        {"cause": "viral"},
    ],
)
def test_reports_are_narrowed_to_the_classifiers_outcomes_and_to_causes(
    workbench: Workbench, asked_for: dict[str, Any]
) -> None:
    view = in_view(workbench)
    question = replace(view.question, **asked_for)
    with database.reading(workbench.engine) as db:
        matching = set(cases.listed(db, question, limit=1000))
        count = sum(number in matching for number in db.scalars(select(Report.image_id)))
    assert f"{count} of 24 reports" in said(open_page("reports", **asked_for))


def test_all_reports_that_match_leave_as_csv_in_the_list_s_order_and_no_spreadsheet_runs_them(
    workbench: Workbench, first: Report
) -> None:
    with database.transaction(workbench.engine) as db:
        db.get_one(Report, first.id).text = '=HYPERLINK("http://evil.example")'
    view = in_view(workbench)
    question = ReportQuestion(workbench.dataset_id, strategy=first.strategy)
    rows = list(csv.DictReader(io.StringIO(exports.as_csv(question, view), newline="")))
    with database.reading(workbench.engine) as db:
        assert [int(row["id"]) for row in rows] == list(reports.ids(db, question))
    assert set(rows[0]) == set(exports.COLUMNS) and len(rows) == 6
    last = rows[-1]
    assert last["text"] == '\'=HYPERLINK("http://evil.example")' and last["laterality"] == "0.5"
    assert "disagrees with the label; contradicts itself" in last["problems"]
    assert float(last["probability"]) > 0 and last["outcome"] in ("TP", "FN", "FP", "TN")
    assert "CSV" in [one.proto.label for one in open_page("reports").get("download_button")]


def test_the_csv_of_reports_can_be_imported(workbench: Workbench, first: Report, tmp_path: Path) -> None:
    view = in_view(workbench)
    file = tmp_path / "reports.csv"
    file.write_bytes(exports.as_csv(ReportQuestion(workbench.dataset_id), view).encode())
    with database.reading(workbench.engine) as db:
        path = db.get_one(Image, first.image_id).path
        paths = list(db.scalars(select(Image.path)))
    found = imported_reports.read(file, paths, {}, strategy=None).reports
    assert found[first.strategy].values[path] == first.text
    assert not any(sheet.strays for sheet in found.values())


def in_view(workbench: Workbench, number: int | None = None) -> filters.View:
    """What the pages take for in view where the URL names this predict run, or nothing."""
    with database.reading(workbench.engine) as db:
        query = select(Run).where(Run.kind == "predict")
        run = db.scalars(query if number is None else query.where(Run.id == number)).one()
    question = Question(workbench.dataset_id, run_id=run.id, threshold=THRESHOLD, own_threshold=THRESHOLD, sort="file")
    return filters.View(question, run, [run])


def test_contradicting_the_classifier_and_being_uncertain_where_it_decides_are_two_problems(
    workbench: Workbench, first: Report
) -> None:
    with database.transaction(workbench.engine) as db:
        db.query(ReportScore).filter_by(report_id=first.id, metric="stance").update({"value": 0.5})
        query = select(ReportScore.report_id, ReportScore.value, Prediction.probability)
        query = query.join(Report, Report.id == ReportScore.report_id)
        query = query.join(Prediction, Prediction.image_id == Report.image_id).join(Run, Run.id == Prediction.run_id)
        judged = db.execute(query.where(ReportScore.metric == "stance", Run.kind == "predict")).all()
        opposition = {}
        for number, stance, probability in judged:
            assert stance is not None
            opposition[number] = abs(stance - (probability >= THRESHOLD))
        report_tallies.take(db, list(opposition))
        for number, value in opposition.items():
            db.add(ReportScore(report_id=number, metric="classifier_opposition", value=value))
        db.flush()
        report_tallies.add(db, list(opposition))
    opposed = f"{list(opposition.values()).count(1.0)} of 24 reports"
    assert opposed in said(open_page("reports", problem="classifier"))
    assert opposed in said(open_page("reports", queue="against"))
    undecided = said(open_page("reports", problem="undecided"))
    assert "1 of 24 reports" in undecided and "**uncertain, unlike the classifier**" in undecided


def test_notes_on_a_report_are_about_the_selected_run_and_a_list_names_the_run_it_is_filtered_by(
    workbench: Workbench, first: Report
) -> None:
    scored = in_view(workbench).question.run_id
    assert scored is not None
    with database.transaction(workbench.engine) as db:
        db.query(Run).filter_by(kind="report", status="finished").update({"config": {"predict_run": scored}})
        db.get_one(Report, first.id).text = "Left-sided."
        db.query(ReportScore).filter_by(report_id=first.id, metric="stance").update({"value": 0.0})
        detail = {"sides": ["left"], "heat": {"right": 0.2, "left": 0.8}}
        db.query(ReportScore).filter_by(report_id=first.id, metric="laterality").update(
            {"value": 1.0, "detail": detail}
        )
        db.add(ReportScore(report_id=first.id, metric="classifier_opposition", value=0.0))
        called = db.query(Prediction).filter_by(image_id=first.image_id, run_id=scored)
        called.update({"probability": 0.1})
    later = predicted_since(workbench, scored)  # calls pneumonia
    with database.transaction(workbench.engine) as db:
        db.query(Prediction).filter_by(image_id=first.image_id, run_id=later).update({"zones": {"right_lower": 1.0}})
    against, beside = (
        "**contradicts the classifier**",
        "**side disagrees with the heatmap** (100.0 % of the heat is on the right",
    )

    def told(page: str, **asked_for: object) -> list[bool]:
        text = said(open_page(page, **asked_for)).replace("\\", "")
        return [against in text, beside in text]

    for asked_for in ({"page": "case", "image": first.image_id}, {"page": "reports", "words": "Left-sided."}):
        assert told(**asked_for, run=scored) == [False, False]
        assert told(**asked_for, run=later) == [True, True]
    question = ReportQuestion(workbench.dataset_id, strategy=first.strategy)
    rows = [
        next(row for row in exports.rows(question, in_view(workbench, run)) if row["id"] == first.id)
        for run in (scored, later)
    ]
    assert [(row["classifier_agreement"], "contradicts the classifier" in row["problems"]) for row in rows] == [
        (1.0, False),
        (0.0, True),
    ]
    found_by = f"scores against the predictions of run {scored}; the notes below each report are about run {later}."
    assert found_by in said(open_page("reports", problem="classifier", run=later))
    for asked_for in ({"problem": "side", "run": scored}, {"problem": "label", "run": later}):
        assert "the notes below each report" not in said(open_page("reports", **asked_for))


def test_a_case_reached_from_a_list_of_reports_links_back_to_it_and_has_no_position_in_a_list(
    workbench: Workbench,
) -> None:
    asked_for = {"score": "keyword_alignment", "score_low": "0.5", "strategy": "basic", "page": "1"}
    at = open_page("reports", **asked_for)
    name = next(one.proto.id for one in at.get("bidi_component") if "-film_" in one.proto.id)
    page, parameters = asked(linked(at, name.rpartition("-")[2])["cards"][0]["href"])
    there = open_page(page, **parameters)
    (back,) = linked(there, "steps")["steps"]
    assert back["text"] == "Back to reports"
    assert asked(back["href"]) == ("reports", PINNED | asked_for)


def test_models_and_strategies_are_shown_with_the_intervals_of_the_evaluation(workbench: Workbench) -> None:
    rows = linked(open_page("reports"), "standings")["rows"]
    assert [row[0]["text"] for row in rows] == [
        f"template / {name}" for name in ("Basic", "Clinical brief", "Clinical structured", "Differential")
    ]
    page, parameters = asked(rows[0][0]["href"])
    assert (page, parameters) == ("reports", {**PINNED, "strategy": "basic", "model": "template"})
    overview = linked(open_page("overview"), "reports")["rows"]
    assert [row[0] for row in overview] == [row[0] for row in rows]  # one name, one link
    assert any(" to " in one["text"] for row in rows for one in row[1:])


def test_scores_show_how_many_of_all_reports_were_measured(workbench: Workbench) -> None:
    for page, key in (("reports", "standings"), ("overview", "reports")):
        at = open_page(page)
        assert [row[1]["text"] for row in linked(at, key)["rows"]] == ["6"] * 4
        assert "to include them" not in said(at) and "The evaluation covers" not in said(at)
    with database.transaction(workbench.engine) as db:
        db.execute(update(Metric).where(Metric.split == "reports").values(n=5))
        db.execute(delete(Metric).where(Metric.slice == "template / differential"))
        evaluation = db.scalars(select(Run).where(Run.kind == "evaluate")).one()
        evaluation.current_since = now() - timedelta(days=1)
    for page, key in (("reports", "standings"), ("overview", "reports")):
        at = open_page(page)
        counts = {row[0]["text"]: row[1]["text"] for row in linked(at, key)["rows"]}
        assert counts["template / Basic"] == "5 of 6"
        assert counts.get("template / Differential", "0 of 6") == "0 of 6"
        told = said(at).replace("\\", "")
        assert (
            "The evaluation covers 15 of 24 reports. Others were added since; to include them, run: python -m jobs ev"
            in told
        )
    with database.transaction(workbench.engine) as db:
        db.scalars(select(Run).where(Run.kind == "evaluate")).one().current_since = now()
    told = said(open_page("reports"))
    assert "The others are from an earlier model revision, prompt or settings" in told and "to include" not in told


def test_where_no_label_judges_reports_the_overview_says_so_in_place_of_an_empty_table(workbench: Workbench) -> None:
    assert "Stance and keyword alignment are not measured" not in said(open_page("overview"))
    with database.transaction(workbench.engine) as db:
        db.execute(update(Metric).where(Metric.name == "keyword_alignment").values(name="format"))
    at = open_page("overview")
    assert "24 reports. Stance and keyword alignment are not measured because" in said(at)
    assert not [one for one in at.get("bidi_component") if one.proto.id.endswith("-reports")]


def test_reports_of_two_models_are_in_rows_and_their_differences_are_highlighted(
    workbench: Workbench, first: Report
) -> None:
    second = other_model(workbench, first, first.text.replace("FINDINGS", "FINDINGS: a nodule on the left;"))
    at = open_page("case", image=first.image_id)
    assert {"llava", "template"} <= {heading.value for heading in at.subheader}
    assert [one.value for one in at.caption].count("no report") == 3
    assert "as are whole sentences without a similar one" in said(at)
    at.selectbox(key="url_first").set_value(str(first.id)).run()
    at.selectbox(key="url_second").set_value(str(second)).run()
    compared = {"image": str(first.image_id), "first": str(first.id), "second": str(second)}
    assert at.query_params == PINNED | compared
    assert ":blue-background[**\\: a nodule on the left;**]" in said(at)
    (row,) = linked(at, "apart")["rows"]
    assert [one["text"] for one in row] == ["Nodule", "not mentioned", "present left"]


def test_a_very_long_report_scrolls_in_its_own_box_and_is_coloured_to_its_end(
    workbench: Workbench, first: Report
) -> None:
    short = "No pneumonia."
    long = "The lungs are clear. " * 1_800 + "Small effusion on the left."
    with database.transaction(workbench.engine) as db:
        db.get_one(Report, first.id).text = long
    second = other_model(workbench, first, short)
    compared = {"first": first.id, "second": second}
    pages: dict[str, dict[str, Any]] = {
        "case": {"image": first.image_id, **compared},
        "reports": {"strategy": "basic"},
    }
    for page, asked_for in pages.items():
        at = open_page(page, **asked_for)
        assert not at.exception
        drawn = [text.value for box in boxes(at) for text in box.markdown]
        assert any(":red-background[**effusion**]" in text for text in drawn)
        assert len(drawn) == (2 if page == "case" else 1)  # the report, and beside another where they are compared
        assert f"{len(long):,} characters; scroll to read all of it." in said(at)


def boxes(at: AppTest) -> list[Block]:
    """The page's containers of a height of their own."""
    found: list[Block] = []
    waiting: list[Any] = [at.main]
    while waiting:
        one = waiting.pop()
        waiting += list(getattr(one, "children", {}).values())
        height = getattr(getattr(one, "proto", None), "height_config", None)
        if isinstance(one, Block) and height is not None and height.pixel_height:
            found.append(one)
    return found


def test_a_run_lists_the_reports_that_it_could_not_write_with_their_reasons(
    workbench: Workbench, first: Report
) -> None:
    with database.transaction(workbench.engine) as db:
        run = db.query(Run).filter_by(kind="report").first()
        image = db.query(Image).first()
        assert run is not None and image is not None
        key = {"image_sha256": image.sha256, "model": "m", "revision": "1", "strategy": "basic"}
        key |= {"prompt_sha256": first.prompt_sha256, "settings_sha256": "0" * 64}
        db.add(ReportFailure(run_id=run.id, image_id=image.id, reason="<b>no</b> answer within 3 s", **key))
    at = open_page("runs", run=run.id)
    assert "1 report; run the same command to retry" in said(at)
    assert cell(at, "unwritten", "<b>no</b> answer within 3 s")
    assert asked(cell(at, "unwritten", "Image")["href"]) == ("case", {"image": str(image.id)})


def test_a_list_that_no_tally_counts_ends_where_nobody_reads_on(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "24 of 24 reports." in said(open_page("reports", words="e"))
    monkeypatch.setattr(matches, "MOST", 12)
    matches._found.clear()
    at = open_page("reports", words="e", page=2)
    assert "More than 12 of 24 reports; the first 12 are listed." in said(at)
    assert len([one for one in at.get("bidi_component") if "film_" in one.proto.id]) == 2


def test_what_is_remembered_of_a_list_goes_with_the_next_write(workbench: Workbench) -> None:
    assert "0 of 24 reports." in said(open_page("reports", words="cardiomegaly"))
    with database.transaction(workbench.engine) as db:
        db.scalars(select(Report).order_by(Report.id).limit(1)).one().text = "Cardiomegaly."
    assert "1 of 24 reports." in said(open_page("reports", words="cardiomegaly"))


def test_agreement_with_the_classifier_names_the_run_whose_calls_it_is_with(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        predict = db.scalars(select(Run.id).where(Run.kind == "predict")).one()
        db.scalars(select(Run).where(Run.kind == "evaluate")).one().config = {"predict_run": predict}
    assert f"agreement with the calls of predict run {predict}." in said(open_page("reports"))
    later = predicted_since(workbench, predict)
    told = said(open_page("reports", run=later))
    assert f"agreement with the calls of predict run {predict}, not of the selected run {later}." in told
