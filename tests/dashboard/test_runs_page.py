"""The runs page: commands that repeat or resume a run, comparison with other runs, curves, files."""

import io
from datetime import timedelta

import pyarrow as arrow
import pytest
from sqlalchemy import select
from streamlit.testing.v1 import AppTest

from dashboard import downloads
from db import session as database
from db.models import Artifact, Dataset, Metric, Prediction, Run, now
from tests.dashboard.opened import Workbench, asked, audited, cell, linked, open_page, said
from tests.sample import build, films

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
COMMAND = "python -m jobs report --model 'my model' --dataset sample"


def change(workbench: Workbench, kind: str, **values: object) -> int:
    """Change the first run of its kind; its id."""
    with database.transaction(workbench.engine) as db:
        run = db.scalars(select(Run).where(Run.kind == kind).order_by(Run.id)).first()
        assert run is not None
        for name, value in values.items():
            setattr(run, name, value)
        return run.id


def another(workbench: Workbench, kind: str, **values: object) -> int:
    """One more run of its kind, like the first but for these values; its id."""
    apart = ("id", "started", "heartbeat", "finished")
    with database.transaction(workbench.engine) as db:
        first = db.scalars(select(Run).where(Run.kind == kind).order_by(Run.id)).first()
        assert first is not None
        copied = {field.key: getattr(first, field.key) for field in Run.__mapper__.column_attrs}
        copied = {name: value for name, value in copied.items() if name not in apart}
        run = Run(**{**copied, "fingerprint": "f" * 64, **values})
        db.add(run)
        db.flush()
        return run.id


def opposed(workbench: Workbench, *, threshold: float) -> tuple[int, int]:
    """The predict run, and another of another threshold that says nearly the opposite of each image; their ids."""
    first = change(workbench, "predict")
    second = another(workbench, "predict", summary={"threshold": threshold})
    with database.transaction(workbench.engine) as db:
        for row in db.scalars(select(Prediction).where(Prediction.run_id == first)).all():
            opposite = {"logit": -row.logit, "probability": 0.9 - 0.8 * row.probability}
            db.add(Prediction(run_id=second, image_id=row.image_id, **opposite))
    return first, second


def measure(workbench: Workbench, run: int, **values: float) -> None:
    """Final metrics on the test split."""
    with database.transaction(workbench.engine) as db:
        db.add_all(Metric(run_id=run, name=name, split="test", value=value) for name, value in values.items())


def epoch(workbench: Workbench, run: int, step: int) -> None:
    """One more point on each curve."""
    with database.transaction(workbench.engine) as db:
        for name in ("train_loss", "valid_loss", "valid_auc"):
            db.add(Metric(run_id=run, name=name, split="fold0", step=step, value=0.5))


def texts(at: AppTest, key: str) -> list[list[str]]:
    """What a table says."""
    return [[one["text"] for one in row] for row in linked(at, key)["rows"]]


def commands(at: AppTest) -> list[str]:
    """The commands that can be copied, but for that which forgets the run."""
    copied = [str(one.value) for one in at.code if str(one.value).startswith("python -m jobs")]
    return [line for line in copied if not line.startswith("python -m jobs forget")]


def points(at: AppTest) -> int:
    """How many points the curves on the page have; their data is in the charts' datasets."""
    charts = at.get("vega_lite_chart")
    assert charts, "no chart on the page"
    data = [one.data.data for chart in charts for one in chart.proto.datasets]
    points: int = max(arrow.ipc.open_stream(io.BytesIO(one)).read_all().num_rows for one in data)
    return points


def test_the_command_that_repeats_a_run_can_be_copied_from_its_page(workbench: Workbench) -> None:
    run = change(workbench, "predict", command="python -m jobs predict --dataset sample")
    at = open_page("runs", run=run)
    assert commands(at) == ["python -m jobs predict --dataset sample"]
    assert "repeats this run" in said(at)


def test_a_run_without_a_stored_command_shows_none(workbench: Workbench) -> None:
    at = open_page("runs", run=change(workbench, "predict"))
    assert not at.exception
    assert commands(at) == []
    assert "repeats this run" not in said(at)
    assert "was not recorded" in said(at)


@pytest.mark.parametrize("status", ["failed", "interrupted", "running"])
def test_a_run_that_did_not_end_well_shows_the_command_that_takes_it_up_again(
    workbench: Workbench, status: str
) -> None:
    silent = now() - timedelta(hours=1)  # which makes the running one lost
    run = change(workbench, "report", status=status, error="why", command=COMMAND, heartbeat=silent)
    at = open_page("runs", run=run)
    assert commands(at) == [COMMAND]
    assert "resumes it where it stopped" in said(at)
    assert [str(one.value) for one in at.error] == ["its process died" if status == "running" else "why"]


def test_a_lost_run_without_a_stored_command_says_that_the_same_one_takes_it_up(workbench: Workbench) -> None:
    run = change(workbench, "report", status="running", heartbeat=now() - timedelta(hours=1))
    at = open_page("runs", run=run)
    assert commands(at) == []
    assert "The same command resumes it where it stopped." in said(at)


def test_a_command_with_markup_in_it_shows_as_it_is(workbench: Workbench) -> None:
    hostile = "python -m jobs report --model '<script>alert(1)</script> **b**'"
    at = open_page("runs", run=change(workbench, "report", command=hostile))
    assert commands(at) == [hostile]
    assert not any("<script>" in str(one.value) for one in at.markdown)


def test_every_kind_of_run_can_be_held_against_others_of_its_kind_finished_or_not(workbench: Workbench) -> None:
    for kind in ("ingest", "train", "predict", "embed", "evaluate"):
        first, second = change(workbench, kind), another(workbench, kind, status="failed", config={"asked": "else"})
        at = open_page("runs", run=first, against=second)
        assert not at.exception, kind
        assert ["asked", "not set", "else"] in texts(at, "settings"), kind
        assert [head["text"] for head in linked(at, "settings")["columns"]][1:] == [f"Run {first}", f"Run {second}"]
        offered = at.selectbox(key="url_against").options
        assert len(offered) == 1, kind
        assert offered[0].startswith(f"Run {second}, failed, "), kind


def test_the_menu_tells_runs_apart_by_what_they_were_asked(workbench: Workbench) -> None:
    another(workbench, "train", config={"recipe": {"name": "restyled"}})
    offered = open_page("runs", run=change(workbench, "train")).selectbox(key="url_against").options
    assert [option.split(", ")[1] for option in offered] == ["restyled"]
    another(workbench, "predict", config={"split": "test"}, summary={"recipe": "ensemble"})
    (only,) = open_page("runs", run=change(workbench, "predict")).selectbox(key="url_against").options
    assert only.split(", ")[1:3] == ["ensemble", "test"]


def test_runs_of_another_kind_or_data_set_are_not_offered(workbench: Workbench) -> None:
    another(workbench, "predict", dataset_id=None)
    at = open_page("runs", run=change(workbench, "predict"))
    assert not at.selectbox
    assert not open_page("runs", run=change(workbench, "predict"), against=1).exception


def test_predictions_that_cannot_be_compared_say_why_under_the_settings(workbench: Workbench) -> None:
    first, second = change(workbench, "predict"), another(workbench, "predict", status="failed", seed=7)
    at = open_page("runs", run=first, against=second)
    assert ["seed", "0", "7"] in texts(at, "settings")
    assert f"run {second} is a failed predict run" in said(at).replace("\\", "")


def test_without_a_choice_the_differences_from_the_previous_run_are_collapsed(workbench: Workbench) -> None:
    first = change(workbench, "embed")
    second = another(workbench, "embed", config={"embedder": "other"})
    third = another(workbench, "embed", config={"embedder": "third"})
    at = open_page("runs", run=third)
    folded = next(one for one in at.expander if "Differences from" in one.label)
    assert f"run {second}" in folded.label
    assert not folded.proto.expanded
    assert ["embedder", "third", "other"] in texts(at, "settings")
    assert not any("Differences from" in one.label for one in open_page("runs", run=first).expander)


def test_an_audit_is_held_against_the_previous_one_of_the_same_predictions(workbench: Workbench) -> None:
    predict = change(workbench, "predict")
    with database.transaction(workbench.engine) as db:
        first = audited(db, members=()).run_id
    another(workbench, "audit", config={"predict_run": predict + 99})
    third = another(workbench, "audit", config={"predict_run": predict})
    labels = [one.label for one in open_page("runs", run=third).expander]
    assert f"Differences from run {first}, the previous audit run" in labels


def test_the_stress_tests_of_two_audited_runs_stand_side_by_side(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        whose = audited(db, members=()).run_id
    first, second = opposed(workbench, threshold=0.4)
    audits = {first: whose, second: another(workbench, "audit", config={"predict_run": second})}
    at = open_page("runs", run=first, against=second)
    assert not [one for one in at.get("bidi_component") if one.proto.id.endswith("-both_stressed")]
    for predict, value in {first: 0.9, second: 0.8}.items():
        with database.transaction(workbench.engine) as db:
            for where, lost in {"unaltered": 0.0, "noisy": 0.2}.items():
                of_it = {"run_id": audits[predict], "split": "test", "slice": where, "n": 40}
                db.add(Metric(**of_it, name="stress_auc", value=value - lost, low=0.5, high=0.95))
                db.add(Metric(**of_it, name="stress_recall", value=value, low=0.5, high=0.95))
    rows = texts(open_page("runs", run=first, against=second), "both_stressed")
    one, other = "0.900 (0.500 to 0.950)", "0.800 (0.500 to 0.950)"
    assert rows[0][:3] == ["Unaltered", one, other] and rows[1][0] == "Noisy"
    assert rows[1][1:3] == ["0.700 (0.500 to 0.950)", "0.600 (0.500 to 0.950)"]
    assert rows[1][3:] == ["90.0 % (50.0 to 95.0 %)", "80.0 % (50.0 to 95.0 %)", "", ""]


def test_images_with_different_outcomes_are_ordered_by_change_in_probability_and_show_both_thresholds(
    workbench: Workbench,
) -> None:
    first, second = opposed(workbench, threshold=0.2)
    at = open_page("runs", run=first, against=second)
    assert texts(at, "differences")[0] == ["Threshold", "60.0 %", "20.0 %", "+40.0 points", "", ""]
    assert linked(at, "moved")["steps"][1]["text"] == "largest change in probability first"
    shares = [[float(one.strip(" %")) for one in card["title"].split("/")] for card in linked(at, "changed")["cards"]]
    apart = [abs(one - other) for one, other in shares]
    assert len(apart) > 5 and apart == sorted(apart, reverse=True)


def test_an_image_that_changed_sides_opens_in_both_runs_and_more_of_them_as_a_list(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = opposed(workbench, threshold=0.4)
    for run, other in ((first, second), (second, first)):
        at = open_page("runs", run=run, against=other)
        page, parameters = asked(linked(at, "changed")["cards"][0]["href"])
        assert (page, parameters["run"], parameters["against"]) == ("case", str(run), str(other))
        case = open_page(page, **parameters)
        assert not case.exception and "No such case" not in said(case)
        link, order = linked(at, "moved")["steps"]
        number = len(linked(at, "changed")["cards"])
        assert link["text"] == f"{number} images with different outcomes" and "shown" not in order["text"]
        assert asked(link["href"]) == ("cases", {"run": str(run), "against": str(other)})
        assert len(linked(open_page("cases", run=run, against=other), "cases")["cards"]) == number
    monkeypatch.setattr("dashboard.components.runs.run_comparison.SHOWN", 2)
    few = open_page("runs", run=first, against=second)
    assert len(linked(few, "changed")["cards"]) == 2 and "jobs compare" not in said(few)
    assert linked(few, "moved")["steps"][1]["text"].endswith("; 2 are shown")


@pytest.mark.parametrize("viewed", ["", "sample", "real"])
@pytest.mark.parametrize("own", ["sample", "real"])
def test_a_run_has_the_banner_and_links_of_its_own_dataset_whichever_is_selected(
    workbench: Workbench, own: str, viewed: str
) -> None:
    pictures = films(40, seed=1)
    build(workbench.engine, workbench.artifacts, workbench.folder, pictures=pictures, name="real", synthetic=False)
    with database.transaction(workbench.engine) as db:
        query = select(Run.kind, Run.id).join(Dataset).where(Dataset.name == own, Run.status == "finished")
        ids = dict(db.execute(query).all())
    for kind in ("train", "predict", "evaluate"):
        at = open_page("runs", run=ids[kind], **({"dataset": viewed} if viewed else {}))
        drawn = [str(chart.proto.spec) for chart in at.get("vega_lite_chart")]
        stamped = [*("SYNTHETIC" in one for one in drawn), bool(at.warning)]
        assert drawn and stamped == [own == "sample"] * len(stamped), kind
        name = cell(at, "run", own)
        assert name["text"] == {"sample": "sample, synthetic", "real": "real"}[own]
        assert asked(name["href"])[1].get("dataset", "real") == own
    at = open_page("runs", run=ids["predict"], **({"dataset": viewed} if viewed else {}))
    outcome = linked(at, "confusion")["rows"][0][1]
    page, parameters = asked(outcome["href"])
    assert len(linked(open_page(page, **parameters), "cases")["cards"]) == int(outcome["text"]) > 0
    assert parameters.get("dataset", "real") == own


def test_the_list_of_runs_marks_those_of_phantoms(workbench: Workbench) -> None:
    build(workbench.engine, workbench.artifacts, workbench.folder, pictures=films(9), name="real", synthetic=False)
    assert {row[4] for row in texts(open_page("runs"), "runs")} == {"sample, synthetic", "real"}


def test_the_list_tells_how_classifiers_fare_where_they_were_measured(workbench: Workbench) -> None:
    train, predict = change(workbench, "train"), change(workbench, "predict")
    assert "AUC" not in [head["text"] for head in linked(open_page("runs"), "runs")["columns"]]
    for recall in (0.7, 0.6):  # the later of two evaluations is in force
        run = another(workbench, "evaluate", config={"predict_run": predict, "train_run": train}, current_since=now())
        measure(workbench, run, auc=0.981, recall=recall, specificity=0.8, threshold=0.6)
        with database.transaction(workbench.engine) as db:
            db.add(Metric(run_id=run, name="auc", split="oof", value=0.99))
            db.add(Metric(run_id=run, name="recall", split="test", slice="viral", value=0.1))
    another(workbench, "predict", summary={"threshold": 0.2})
    at = open_page("runs")
    heads = [head["text"] for head in linked(at, "runs")["columns"]]
    assert heads[6:10] == ["AUC", "Recall (sensitivity)", "Specificity", "Threshold"]
    told = {row[0]: row[6:10] for row in texts(at, "runs") if any(row[6:10])}
    assert told == {str(predict): ["0.981", "60.0 %", "80.0 %", "60.0 %"], str(train): ["0.990", "", "", ""]}
    assert "out of fold" in cell(at, "runs", "0.990")["help"]


def test_a_list_in_which_nothing_runs_and_nothing_failed_has_no_column_for_it(workbench: Workbench) -> None:
    assert "Progress or error" in [head["text"] for head in linked(open_page("runs"), "runs")["columns"]]
    at = open_page("runs", kind="train")
    assert "Progress or error" not in [head["text"] for head in linked(at, "runs")["columns"]]


def test_a_kind_that_there_is_not_leaves_the_list_whole(workbench: Workbench) -> None:
    listed = linked(open_page("runs"), "runs")["rows"]
    assert len(linked(open_page("runs", kind="nonsense"), "runs")["rows"]) == len(listed)


def test_the_menu_of_other_runs_and_the_comparison_are_above_the_results(workbench: Workbench) -> None:
    first, second = opposed(workbench, threshold=0.4)
    drawn = [str(one.proto.id) for one in open_page("runs", run=first, against=second).get("bidi_component")]
    at = {name: next(at for at, one in enumerate(drawn) if one.endswith(f"-{name}")) for name in ("run", "differences")}
    assert at["run"] < at["differences"] < next(at for at, one in enumerate(drawn) if one.endswith("-confusion"))


def test_a_hash_among_the_settings_is_shortened_and_whole_in_its_hint(workbench: Workbench) -> None:
    first, second = change(workbench, "embed"), another(workbench, "embed", config={"embedder": "0123456789ab" * 5})
    shown = cell(open_page("runs", run=second, against=first), "settings", "0123456789ab")
    assert (shown["text"], shown["help"]) == ("0123456789ab...", "0123456789ab" * 5)


def test_two_runs_that_were_asked_the_same_say_so(workbench: Workbench) -> None:
    first, second = change(workbench, "embed"), another(workbench, "embed")
    assert "Both runs have the same settings" in said(open_page("runs", run=second, against=first))


def test_compared_evaluations_show_only_metrics_that_differ(workbench: Workbench) -> None:
    first, second = another(workbench, "evaluate"), another(workbench, "evaluate")
    measure(workbench, first, accuracy=0.9, auc=0.97, recall=0.8, brier=0.1)
    measure(workbench, second, accuracy=0.88, auc=0.97, recall=0.8)
    at = open_page("runs", run=first, against=second)
    assert sorted(texts(at, "values")) == [
        ["Accuracy", "test", "all", "90.0 %", "88.0 %", "+2.0 points"],
        ["Brier score", "test", "all", "0.100", "unknown", "unknown"],
    ]
    assert "2 of 4 metrics differ" in said(at)


def test_metrics_that_read_alike_do_not_count_as_different(workbench: Workbench) -> None:
    first, second = another(workbench, "evaluate"), another(workbench, "evaluate")
    measure(workbench, first, accuracy=0.90001, auc=0.97, confusion_tp=380.0)
    measure(workbench, second, accuracy=0.9, auc=0.97004, confusion_tp=380.0)
    at = open_page("runs", run=first, against=second)
    assert "0 of 3 metrics differ in the displayed digits." in said(at)
    assert not [one for one in at.get("bidi_component") if one.proto.id.endswith("-values")]


def test_metrics_of_all_images_are_listed_first_and_of_those_the_test_splits(workbench: Workbench) -> None:
    run = another(workbench, "evaluate")
    with database.transaction(workbench.engine) as db:
        for split, where in (("oof", "all"), ("oof", "bacterial"), ("test", "bacterial"), ("test", "all")):
            db.add(Metric(run_id=run, name="recall", split=split, slice=where, value=0.9))
    listed = [row[1:3] for row in texts(open_page("runs", run=run), "run_metrics")]
    assert listed == [["test", "all"], ["oof", "all"], ["test", "bacterial"], ["oof", "bacterial"]]


def test_many_metrics_are_listed_in_part_and_narrowed_by_words(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = another(workbench, "evaluate")
    measure(workbench, run, accuracy=0.9, auc=0.97, recall=0.8, brier=0.1)
    assert len(texts(open_page("runs", run=run), "run_metrics")) == 4
    monkeypatch.setattr("dashboard.components.figures.LISTED", 3)
    at = open_page("runs", run=run)
    assert len(texts(at, "run_metrics")) == 3
    assert "4 of 4 metrics; first 3 shown." in said(at)
    at.text_input(key="url_metric").set_value("test BRIER").run()
    assert [row[0] for row in texts(at, "run_metrics")] == ["Brier score"]
    assert at.query_params["metric"] == "test BRIER" and "1 of 4 metrics." in said(at)


def test_the_comparison_says_to_compare_by_auc_and_how_certain_each_result_is(workbench: Workbench) -> None:
    first, second = opposed(workbench, threshold=0.2)
    at = open_page("runs", run=first, against=second)
    assert "Compare by AUC" in said(at) and "exploratory" in said(at)
    assert "assume independent images" in said(at)
    threshold, auc, *others = linked(at, "differences")["rows"]
    assert [row[0]["text"] for row in (threshold, auc)] == ["Threshold", "AUC"] and len(others) == 11
    assert auc[5]["text"] == f"run {first}" and auc[5]["help"].startswith("p = ") and "adjusted" not in auc[5]["help"]
    assert all(row[5]["help"].endswith(", adjusted") for row in others)


def test_the_run_with_the_lower_area_under_the_risk_coverage_curve_is_the_better_one(workbench: Workbench) -> None:
    first, second = opposed(workbench, threshold=0.2)
    rows = texts(open_page("runs", run=first, against=second), "differences")
    _, one, other, apart, _, better = next(row for row in rows if row[0] == "AURC")
    assert float(one) < float(other) and apart.startswith("-") and better == f"run {first}"


def test_a_figure_that_one_run_does_not_have_is_unknown_and_nobody_is_better(workbench: Workbench) -> None:
    first, second = opposed(workbench, threshold=0.99)  # which calls nothing pneumonia, and so has no precision
    rows = texts(open_page("runs", run=first, against=second), "differences")
    _, _, lacking, apart, interval, better = next(row for row in rows if row[0].startswith("Precision"))
    assert (lacking, apart, interval, better) == ("unknown", "unknown", "", "not significant")
    assert "nan" not in str(rows)


def test_a_run_without_a_threshold_is_not_compared_and_the_page_says_what_to_run(workbench: Workbench) -> None:
    first, second = opposed(workbench, threshold=0.2)
    change(workbench, "predict", summary={})
    at = open_page("runs", run=second, against=first)
    told = said(at).replace("\\", "")
    assert f"run {first} has no threshold. To repeat it, run: python -m jobs predict --dataset sample" in told
    assert not at.exception and not [one for one in at.get("bidi_component") if one.proto.id.endswith("-differences")]


def test_the_menu_writes_the_other_run_to_the_address(workbench: Workbench) -> None:
    first, second = change(workbench, "embed"), another(workbench, "embed", config={"embedder": "other"})
    at = open_page("runs", run=first)
    at.selectbox(key="url_against").set_value(str(second)).run()
    assert at.query_params == {"run": str(first), "against": str(second)}
    assert ["embedder", "imagenet-lite0", "other"] in texts(at, "settings")


def test_a_running_training_shows_the_curves_that_it_has_so_far(workbench: Workbench) -> None:
    run = another(workbench, "train", status="running", host="elsewhere", heartbeat=now())
    assert not open_page("runs", run=run).get("vega_lite_chart")
    epoch(workbench, run, 0)
    first = points(open_page("runs", run=run))
    epoch(workbench, run, 1)
    assert points(open_page("runs", run=run)) == 2 * first > 0


def test_a_file_that_is_there_is_linked_and_one_that_is_not_is_marked(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        heatmaps = db.scalars(select(Artifact).where(Artifact.name == "heatmaps")).one()
    path = workbench.artifacts / heatmaps.path
    assert cell(open_page("runs", run=heatmaps.run_id), "files", "heatmaps")["href"] == downloads.url(heatmaps)
    path.write_bytes(path.read_bytes() + b"x")
    changed = open_page("runs", run=heatmaps.run_id)
    assert cell(changed, "files", "changed")["tone"] == "wrong"
    assert cell(changed, "files", "heatmaps")["href"] is None
    path.unlink()
    assert cell(open_page("runs", run=heatmaps.run_id), "files", "missing")["tone"] == "wrong"
