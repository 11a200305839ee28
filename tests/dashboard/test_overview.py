"""The overview shows one classifier: the evaluated one, with its failures and links to their images."""

import pytest
from sqlalchemy import delete, select, update

from db import session as database
from db.models import Dataset, Metric, Prediction, Run, SkippedFile, VectorIndex, now
from db.queries.evaluation import of_classifiers
from db.slice_names import embedder_slice
from tests.dashboard.opened import Workbench, asked, cell, linked, open_page, predicted_since, said

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def run_of(workbench: Workbench, kind: str) -> int:
    with database.transaction(workbench.engine) as db:
        return db.scalars(select(Run.id).where(Run.kind == kind).order_by(Run.id)).first() or 0


def evaluated(workbench: Workbench) -> tuple[int, int, int]:
    """The train, predict and evaluation runs; the evaluation is configured to have read the other two."""
    train, predict, evaluation = (run_of(workbench, kind) for kind in ("train", "predict", "evaluate"))
    with database.transaction(workbench.engine) as db:
        run = db.get_one(Run, predict)
        run.summary = {**(run.summary or {}), "train_run": train, "recipe": "probe"}
        db.get_one(Run, evaluation).config = {"train_run": train, "predict_run": predict}
    return train, predict, evaluation


def test_one_line_names_the_classifier_and_leads_to_its_runs(workbench: Workbench) -> None:
    train, predict, evaluation = evaluated(workbench)
    name, *links = linked(open_page("overview"), "classifier")["steps"]
    assert name["text"] == "Classifier probe, threshold 60.0 %:" and not name["href"]
    assert [link["text"].split(",")[0] for link in links] == [
        *(f"predict run {predict}", f"train run {train}", f"evaluation run {evaluation}")
    ]
    assert [asked(link["href"]) for link in links] == [
        ("runs", {"run": str(number)}) for number in (predict, train, evaluation)
    ]


def test_failures_are_those_of_the_evaluated_run_even_if_another_run_predicted_since(workbench: Workbench) -> None:
    _, predict, _ = evaluated(workbench)
    before = open_page("overview")
    assert "is current" not in said(before)
    later = predicted_since(workbench, predict)
    after = open_page("overview")
    for failure in ("Missed pneumonia", "False positives"):
        numbers = [
            next(row[1]["text"] for row in linked(at, "attention")["rows"] if row[0]["text"].startswith(failure))
            for at in (before, after)
        ]
        assert numbers[0] == numbers[1], failure
    assert linked(after, "classifier")["steps"][:2] == linked(before, "classifier")["steps"][:2]
    told = said(after).replace("\\", "")
    assert f"This page shows run {predict}, which was evaluated last, but predict run {later} is current." in told
    assert "python -m jobs evaluate --dataset sample" in told


def test_without_an_evaluation_the_failures_are_those_of_the_current_run(workbench: Workbench) -> None:
    later = predicted_since(workbench, run_of(workbench, "predict"))
    with database.transaction(workbench.engine) as db:
        db.get_one(Run, run_of(workbench, "evaluate")).status = "failed"
    at = open_page("overview")
    assert linked(at, "classifier")["steps"][1]["text"] == f"predict run {later}"
    assert cell(at, "attention", "False positives") and "Missed" not in str(linked(at, "attention")["rows"])
    assert "is current" not in said(at)


def test_failures_that_every_run_on_the_split_shares_are_one_item_and_its_link_names_the_runs(
    workbench: Workbench,
) -> None:
    _, predict, _ = evaluated(workbench)
    assert "Wrong in" not in str(linked(open_page("overview"), "attention")["rows"])
    later = predicted_since(workbench, predict)
    at = open_page("overview")
    row = next(row for row in linked(at, "attention")["rows"] if row[0]["text"] == "Wrong in both predict runs")
    page, parameters = asked(row[0]["href"])
    assert parameters == {"outcome": "wrong", "against": f"none.{later}", "run": str(predict)}
    shared = open_page(page, **parameters)
    cards = linked(shared, "cases")["cards"]
    assert len(cards) == int(row[1]["text"]) > 0
    assert {card["mark"] for card in cards} == {"FP"}, "the later run calls every image pneumonia"
    with database.transaction(workbench.engine) as db:
        run = db.get_one(Run, later)
        run.config = {**run.config, "split": "train"}
    assert "Wrong in" not in str(linked(open_page("overview"), "attention")["rows"]), "it scored other images"


def test_only_what_every_run_scored_counts_as_wrong_in_all(workbench: Workbench) -> None:
    _, predict, _ = evaluated(workbench)
    later = predicted_since(workbench, predict)
    with database.transaction(workbench.engine) as db:
        db.execute(delete(Prediction).where(Prediction.run_id == later))
    assert "Wrong in" not in str(linked(open_page("overview"), "attention")["rows"])


def test_the_table_of_classifiers_holds_nothing_that_the_latest_evaluation_did_not_measure(
    workbench: Workbench,
) -> None:
    train, predict, evaluation = evaluated(workbench)
    with database.transaction(workbench.engine) as db:
        held = {"config": {"predict_run": predict, "train_run": train}, "code_version": "t", "pid": 1, "host": "t"}
        later = Run(kind="evaluate", dataset_id=workbench.dataset_id, fingerprint="e" * 64, status="finished", **held)
        db.add(later)
        db.flush()
        db.add(Metric(run_id=later.id, name="auc", split="val", value=0.9, low=0.8, high=1.0, n=8))
        found = of_classifiers(db, [train, predict], ["auc", "recall"])
        assert {split for _, split in found[predict]} == {"val"}
        assert {split for _, split in found[train]} == {"oof"}
        assert evaluation not in {metric.run_id for metric in found[predict].values()}


def test_the_tile_of_retrieval_is_found_under_an_embedders_shortened_name(workbench: Workbench) -> None:
    long = "open_clip:hf-hub:microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224"
    with database.transaction(workbench.engine) as db:
        for index in db.scalars(select(VectorIndex)):
            index.embedder = long
        for metric in db.scalars(select(Metric).where(Metric.name == "p_at_1")):
            metric.slice = embedder_slice(long)
    tiles = [tile for tile in linked(open_page("overview"), "highlights")["tiles"] if tile["name"] == "P@1"]
    assert len(tiles) == 1


def test_several_evaluated_classifiers_are_listed_with_the_one_in_view_marked(workbench: Workbench) -> None:
    train, predict, evaluation = evaluated(workbench)
    with pytest.raises(AssertionError, match="no component 'classifiers'"):
        linked(open_page("overview"), "classifiers")
    later = predicted_since(workbench, predict)
    with database.transaction(workbench.engine) as db:
        known = db.get_one(Run, evaluation)
        copied = {field.key: getattr(known, field.key) for field in Run.__mapper__.column_attrs if field.key != "id"}
        copied |= {"fingerprint": "e" * 64, "config": {"predict_run": later, "train_run": train}}
        other = Run(**copied)
        db.add(other)
        db.flush()
        db.add(Metric(run_id=other.id, name="auc", split="test", value=0.123, low=0.1, high=0.2, n=40))
    rows = {row[0]["text"]: row for row in linked(open_page("overview", run=predict), "classifiers")["rows"]}
    assert list(rows) == [str(later), str(predict)]
    assert rows[str(predict)][0]["tone"] == "chosen" and not rows[str(later)][0]["tone"]
    assert rows[str(later)][3]["text"] == "0.123 (0.100 to 0.200)"
    assert rows[str(later)][0]["href"] == f"/?run={later}", "the first page has no name in its address"


def test_out_of_fold_metrics_of_another_classifier_name_their_run(workbench: Workbench) -> None:
    train, predict, _ = evaluated(workbench)
    heads = [head["text"] for head in linked(open_page("overview"), "classification")["columns"]]
    assert "Out of fold" in heads
    with database.transaction(workbench.engine) as db:
        db.get_one(Run, predict).summary = {"threshold": 0.6, "train_run": train + 99}
    heads = [head["text"] for head in linked(open_page("overview"), "classification")["columns"]]
    assert f"Out of fold, run {train}" in heads


def test_each_metric_links_to_the_images_that_lower_it(workbench: Workbench) -> None:
    train, predict, evaluation = evaluated(workbench)
    with database.transaction(workbench.engine) as db:
        db.add(Metric(run_id=evaluation, name="threshold", split="oof", value=0.3))
    rows = {row[0]["text"]: row[1:] for row in linked(open_page("overview"), "classification")["rows"]}
    films = {"Recall (sensitivity)": "FN", "Specificity": "FP", "Precision (PPV)": "FP", "Accuracy": "wrong"}
    assert {name for name, row in rows.items() if row[0]["href"]} == set(films)
    for name, outcome in films.items():
        tested, held_out = (asked(rows[name][at]["href"]) for at in (0, 3))
        assert tested == ("cases", {"split": "test", "run": str(predict), "outcome": outcome})
        assert held_out == ("cases", {"run": str(train), "threshold": "0.3", "outcome": outcome})
        marks = {card["mark"] for card in linked(open_page("cases", **tested[1]), "cases")["cards"]}
        assert marks and marks <= ({"FP", "FN"} if outcome == "wrong" else {outcome})


def test_key_metrics_are_shown_as_tiles(workbench: Workbench) -> None:
    _, predict, evaluation = evaluated(workbench)
    tiles = {tile["name"]: tile for tile in linked(open_page("overview"), "highlights")["tiles"]}
    assert list(tiles) == ["AUC", "Recall (sensitivity)", "Specificity", "Accuracy", "P@1"]
    assert asked(tiles["AUC"]["link"][1]) == ("runs", {"run": str(predict)})
    recall, nearest = tiles["Recall (sensitivity)"], tiles["P@1"]
    assert (recall["value"], recall["lines"]) == ("95.0 %", ["Test, 92.0 to 97.0 %"]) and recall["meaning"]
    said, href = recall["link"]
    assert said == "False negatives" and asked(href)[1]["outcome"] == "FN"
    assert nearest["lines"][1] == "Embedder imagenet-lite0" and asked(nearest["link"][1]) == ("search", {})
    with database.transaction(workbench.engine) as db:
        db.execute(delete(Metric).where(Metric.run_id == evaluation, Metric.name.in_(["recall", "p_at_1"])))
        db.get_one(Dataset, workbench.dataset_id).synthetic = False
    tiles = {tile["name"]: tile for tile in linked(open_page("overview"), "highlights")["tiles"]}
    assert list(tiles) == ["AUC", "Specificity", "Accuracy"]
    assert tiles["AUC"]["lines"][1] == "Original tool ~ 0.970"


def test_warnings_of_the_evaluation_are_shown_below_the_tiles(workbench: Workbench) -> None:
    _, _, evaluation = evaluated(workbench)
    assert not [one for one in open_page("overview").warning if "worse than chance" in one.value]
    with database.transaction(workbench.engine) as db:
        db.get_one(Run, evaluation).summary = {"warnings": ["AUC 0.060 on split test, worse than chance: <b>"]}
    (told,) = [one.value for one in open_page("overview").warning if "worse than chance" in one.value]
    assert "\\<b\\>" in told


def test_recall_by_cause_is_shown_if_it_was_measured(workbench: Workbench) -> None:
    _, predict, evaluation = evaluated(workbench)
    assert "viral" not in str(linked(open_page("overview"), "classification")["rows"])
    with database.transaction(workbench.engine) as db:
        db.add(Metric(run_id=evaluation, name="recall", split="test", slice="viral", value=0.5, low=0.4, high=0.6, n=5))
    rows = linked(open_page("overview"), "classification")["rows"]
    at = next(at for at, row in enumerate(rows) if row[0]["text"] == "\u2013 viral")
    assert rows[at - 1][0]["text"] == "Recall (sensitivity)"
    assert [one["text"] for one in rows[at][1:4]] == ["50.0 %", "40.0 to 60.0 %", "5"]
    page, parameters = asked(rows[at][1]["href"])
    assert (page, parameters) == ("cases", {"split": "test", "run": str(predict), "outcome": "FN", "cause": "viral"})


def test_text_search_metrics_say_that_their_intervals_are_over_queries(workbench: Workbench) -> None:
    _, _, evaluation = evaluated(workbench)
    with database.transaction(workbench.engine) as db:
        db.execute(delete(Metric).where(Metric.name.startswith("text_")))
    assert "95 % intervals are over patients. " in said(open_page("overview"))
    with database.transaction(workbench.engine) as db:
        db.add(Metric(run_id=evaluation, name="text_p_at_10", split="test", slice="aligned", value=0.8, n=40))
    assert "95 % intervals are over patients (text search: over queries). " in said(open_page("overview"))


def test_metrics_of_images_without_a_split_link_to_them(workbench: Workbench) -> None:
    _, predict, _ = evaluated(workbench)
    with database.transaction(workbench.engine) as db:
        db.execute(update(Metric).where(Metric.split == "test").values(split="all"))
    recall = cell(open_page("overview"), "classification", "95.0 %")
    assert asked(recall["href"])[1] == {"split": "unknown", "run": str(predict), "outcome": "FN"}


def test_identical_copies_do_not_need_attention(workbench: Workbench) -> None:
    ingest = run_of(workbench, "ingest")
    with database.transaction(workbench.engine) as db:
        db.add_all(
            SkippedFile(run_id=ingest, path=f"{number}.png", reason="duplicate", detail="") for number in range(3)
        )
    rows = {row[0]["text"]: row[1]["text"] for row in linked(open_page("overview"), "attention")["rows"]}
    assert rows["Files skipped by ingest"] == "1"
    with database.transaction(workbench.engine) as db:
        db.execute(delete(SkippedFile).where(SkippedFile.reason != "duplicate"))
    rows = {row[0]["text"]: row[1]["text"] for row in linked(open_page("overview"), "attention")["rows"]}
    assert "Files skipped by ingest" not in rows


def test_subgroups_show_their_difference_and_link_to_their_images(workbench: Workbench) -> None:
    _, predict, evaluation = evaluated(workbench)
    with pytest.raises(AssertionError, match="no component 'subgroups'"):
        linked(open_page("overview"), "subgroups")
    with database.transaction(workbench.engine) as db:
        common = {"run_id": evaluation, "split": "test", "n": 20}
        for where, value in (("sex: female", 0.5), ("sex: male", 0.9)):
            db.add(Metric(**common, name="recall", slice=where, value=value, low=value - 0.1, high=value))
        apart = {"value": -0.4, "low": -0.6, "high": -0.2}
        db.add(Metric(**common, name="recall_difference", slice="sex: female", **apart))
        db.add(Metric(**common, name="recall_p", slice="sex: female", value=0.012))
    table = linked(open_page("overview"), "subgroups")
    female, male = table["rows"]
    assert len(female) == 4
    assert [one["text"] for one in female[:3]] == ["sex: female", "50.0 % (40.0 to 50.0 %)", "20"]
    assert (female[3]["text"], female[3]["tone"]) == ("-40.0 points (-60.0 to -20.0), p 0.012", "wrong")
    assert male[3]["text"] == ""
    page, parameters = asked(female[1]["href"])
    assert page == "cases"
    assert parameters == {"split": "test", "run": str(predict), "outcome": "FN", "film.sex": "female"}


def test_the_url_s_run_is_the_one_whose_evaluation_is_shown(workbench: Workbench) -> None:
    _, predict, evaluation = evaluated(workbench)
    later = predicted_since(workbench, predict)
    with database.transaction(workbench.engine) as db:
        known = db.get_one(Run, evaluation)
        copied = {one.key: getattr(known, one.key) for one in Run.__mapper__.column_attrs if one.key != "id"}
        copied |= {"fingerprint": "e" * 64, "config": {"predict_run": later}, "current_since": now()}
        db.add(Run(**copied))
    assert linked(open_page("overview"), "classifier")["steps"][1]["text"] == f"predict run {later}"
    at = open_page("overview", run=predict)
    assert linked(at, "classifier")["steps"][1]["text"] == f"predict run {predict}"
    assert f"evaluation run {evaluation}" in linked(at, "classifier")["steps"][3]["text"]
    assert "not been evaluated" not in said(at) and "is current" not in said(at)


def test_a_run_in_the_url_that_has_no_evaluation_is_named_with_the_command(workbench: Workbench) -> None:
    _, predict, evaluation = evaluated(workbench)
    later = predicted_since(workbench, predict)
    told = said(open_page("overview", run=later)).replace("\\", "")
    assert f"Predict run {later} has not been evaluated. This page shows evaluation run {evaluation}" in told
    assert f"python -m jobs evaluate --dataset sample --predict-run {later}" in told


def test_failed_runs_are_those_of_the_dataset_and_of_none(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        failed = db.scalars(select(Run).where(Run.status == "failed")).one()
        copied = {one.key: getattr(failed, one.key) for one in Run.__mapper__.column_attrs if one.key != "id"}
        other = Dataset(name="other", root="/", synthetic=False)
        db.add(other)
        db.flush()
        folder = {"kind": "ingest", "dataset_id": None, "config": {"folder": "/films"}}
        elsewhere = Run(**copied | {"fingerprint": "a" * 64, "dataset_id": other.id})
        nowhere = Run(**copied | {"fingerprint": "b" * 64} | folder)
        db.add_all([elsewhere, nowhere])
        db.flush()
        own, apart, none = failed.id, elsewhere.id, nowhere.id
    at = open_page("overview", dataset="sample")
    assert cell(at, "attention", f"Run {own}, report")
    assert cell(at, "attention", f"Run {none}, ingest of folder /films")
    assert f"Run {apart}," not in str(linked(at, "attention")["rows"])
