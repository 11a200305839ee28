"""evaluate on rows that the tests store: metrics, missing results, repeated runs."""

from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sklearn
from sqlalchemy import update

from db import session, tallies, writes
from db.models import Image, Prediction, Run
from db.queries import predictions, runs
from engine.retrieval.text.written_queries import QUERIES
from jobs import evaluate
from jobs.command import Context
from jobs.results.inputs import gather
from tests.finished_runs import World, make_world


@pytest.fixture
def world(context: Context, job_options: list[str], tmp_path: Path) -> World:
    return make_world(context, job_options, tmp_path / "drawn", synthetic=False)


def test_classification_values_are_those_of_scikit_learn_on_every_file(world: World) -> None:
    predict = world.add_predict(world.add_train())
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    with session.transaction(world.context.engine) as db:
        rows = predictions.of_run(db, predict.id)
    files = np.array([row.file_count for row in rows])
    assert files.sum() == 55
    labels = np.repeat([row.label for row in rows], files)
    scores = np.repeat([row.probability for row in rows], files)
    stored = world.evaluated()
    assert stored["test", "all", "auc"].value == pytest.approx(sklearn.roc_auc_score(labels, scores))
    assert stored["test", "all", "f1"].value == pytest.approx(sklearn.f1_score(labels, scores >= 0.45))
    assert stored["test", "recall97", "recall"].value == pytest.approx(sklearn.recall_score(labels, scores >= 0.2))
    for split in ("test", "oof"):
        assert stored[split, "half", "threshold"].value == 0.5
    assert stored["test", "half", "recall"].value == pytest.approx(sklearn.recall_score(labels, scores >= 0.5))
    cells = [stored["test", "all", f"confusion_{cell}"].value for cell in ("tn", "fp", "fn", "tp")]
    assert cells == sklearn.confusion_matrix(labels, scores >= 0.45).ravel().tolist()
    auc = stored["test", "all", "auc"]
    assert auc.value is not None
    assert auc.low is not None
    assert auc.high is not None
    assert auc.low < auc.value < auc.high
    assert auc.n == 55
    causes = np.repeat([row.cause or "" for row in rows], files)
    viral = (labels == 0) | (causes == "viral")
    assert stored["test", "viral", "auc"].value == pytest.approx(sklearn.roc_auc_score(labels[viral], scores[viral]))
    assert stored["test", "viral", "recall"].n == (causes == "viral").sum()
    assert stored["test", "all", "specificity"].n == (labels == 0).sum()
    assert stored["oof", "all", "auc"].n == 55
    logits = np.repeat([row.logit for row in rows], files)
    raw = 1 / (1 + np.exp(-logits))
    assert stored["test", "before_scaling", "brier"].value == pytest.approx(sklearn.brier_score_loss(labels, raw))
    assert stored["oof", "all", "threshold"].value == 0.45
    patients = np.repeat([row.patient_key for row in rows], files)
    means = {key: scores[patients == key].mean() for key in sorted(set(patients))}
    ill = [labels[patients == key].max() for key in means]
    by_patient = stored["test", "by_patient", "auc"]
    assert by_patient.value == pytest.approx(sklearn.roc_auc_score(ill, list(means.values())))
    assert by_patient.n == len(means) < 55
    assert stored["test", "by_patient", "confusion_tp"].value == sum(
        bool(truth) and mean >= 0.45 for truth, mean in zip(ill, means.values(), strict=True)
    )
    assert stored["test", "all", "ece"].low is None and stored["test", "all", "ece_by_chance"].low is not None
    assert {"calibration_intercept", "calibration_slope"} <= {name for _, where, name in stored if where == "all"}


def test_report_scores_are_means_of_the_reports_that_stand(world: World) -> None:
    world.add_reports(revision="old", score=0.0)
    world.add_reports(revision="new", score=0.5)
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    stored = world.evaluated()
    assert stored["reports", "template / basic", "keyword_alignment"].value == pytest.approx(0.5)
    assert stored["reports", "template / clinical_brief", "keyword_alignment"].value == pytest.approx(0.8)
    assert stored["reports", "template / basic", "keyword_alignment"].n == 10
    assert not any(name == "stance" for _, _, name in stored), "a stance is a claim, not a quality"


def test_a_model_with_a_very_long_name_keeps_its_end(world: World) -> None:
    world.add_reports(model="/models/" + "x" * 150 + "/blip2")
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    slices = {where for _, where, _ in world.evaluated()}
    assert len(slices) == 4 + 6
    assert all(len(where) <= 80 and "/blip2 / " in where for where in slices)


@pytest.mark.parametrize("model", ["template", "/models/" + "x" * 150])
def test_strategies_with_names_of_any_length_are_compared(
    world: World, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.setattr("tests.finished_runs.STRATEGIES", [f"{letter}{'b' * 59}" for letter in "pqr"])
    world.add_reports(model=model)
    world.add_reports(model=model + "2")
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    slices = {where for split, where, _ in world.evaluated() if split == "reports"}
    assert len(slices) == 2 * (3 + 3)
    assert max(map(len, slices)) == 80


def test_embedders_whose_long_names_differ_in_the_end_are_measured_apart(world: World) -> None:
    names = [f"open_clip:{'x' * 70}{number}" for number in (1, 2)]
    for name in names:
        world.add_index(name)
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    assert {where[-1] for _, where, name in world.evaluated() if name == "p_at_1" and " / " not in where} == {"1", "2"}


def test_what_is_missing_is_named_with_its_command_and_the_rest_is_measured(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.add_reports()
    assert evaluate.main(world.options) == 0
    said = capsys.readouterr().out
    for job in ("predict", "train", "embed"):
        assert f"python -m jobs {job} --dataset drawn" in said
    assert "python -m jobs report" not in said
    assert {split for split, _, _ in world.evaluated()} == {"reports"}


def test_the_summary_has_a_line_for_each_split_report_source_and_embedder(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.add_predict(world.add_train())
    world.add_reports()
    world.add_index("classifier")
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    said = capsys.readouterr().out
    stored = world.evaluated()

    def shown(split: str, where: str, name: str) -> str:
        row = stored[split, where, name]
        return f"{row.value:.3f} ({row.low:.3f} to {row.high:.3f})"

    heads = {"classification": "AUC", "reports": "Recall of the stance", "retrieval": "P@1"}
    tables = {block.split()[0]: block.strip().splitlines() for block in said.split("\n\n") if block.split()[0] in heads}
    assert all(heads[task] in lines[0] for task, lines in tables.items()) and tables.keys() == heads.keys()
    assert [line.split()[0] for line in tables["classification"][1:]] == ["test", "oof"]
    for line, split in zip(tables["classification"][1:], ("test", "oof"), strict=True):
        assert shown(split, "all", "auc") in line and shown(split, "all", "specificity") in line
    sources = {where for split, where, name in stored if split == "reports" and name == "stance_undecided"}
    assert {line.split("  ")[0] for line in tables["reports"][1:]} == sources
    assert len(tables["retrieval"]) == 2 and shown("test", "classifier", "p_at_1") in tables["retrieval"][1]
    assert "average_precision" not in said
    assert evaluate.main([*world.options, "--replicates", "100", "--all"]) == 0
    assert "average_precision" in capsys.readouterr().out


def test_nothing_to_evaluate_fails_in_one_line_and_leaves_no_run(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main(world.options) == 1
    assert capsys.readouterr().err == ("error: dataset 'drawn' has nothing to evaluate yet; see the commands above\n")
    with session.transaction(world.context.engine) as db:
        assert runs.count(db, kind="evaluate") == 0


def test_evaluating_twice_is_done_once_until_something_new_is_there(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.add_predict()
    options = [*world.options, "--replicates", "100"]
    assert evaluate.main(options) == 0
    before = world.evaluated()
    assert evaluate.main(options) == 0
    assert "already done as run" in capsys.readouterr().out
    world.add_reports()
    assert evaluate.main(options) == 0
    after = world.evaluated()
    assert len(after) > len(before)
    for key, row in before.items():
        assert (row.value, row.low, row.high) == (after[key].value, after[key].low, after[key].high), key


def test_a_run_of_another_kind_or_data_set_is_refused(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    train = world.add_train()
    assert evaluate.main([*world.options, "--predict-run", str(train.id)]) == 2
    assert f"run {train.id} is not a finished predict run of dataset 'drawn'" in capsys.readouterr().err
    assert evaluate.main([*world.options, "--replicates", "5"]) == 2


def test_out_of_fold_values_come_from_the_classifier_that_predicted(world: World) -> None:
    behind = world.add_train()
    world.add_predict(behind)
    world.add_train()
    found = gather(world.context, world.dataset)
    assert found.train is not None
    assert found.train.id == behind.id


def test_both_splits_are_measured_at_the_current_threshold_where_one_classifier_is_behind_them(world: World) -> None:
    predict = world.add_predict(world.add_train())
    with session.transaction(world.context.engine) as db:
        run = db.get_one(Run, predict.id)
        run.summary = {**(run.summary or {}), "threshold": 0.3}
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    stored = world.evaluated()
    assert [stored[split, "all", "threshold"].value for split in ("test", "oof")] == [0.3, 0.3]


def test_how_often_the_test_split_was_opened_is_told_where_there_is_one(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*world.options, "--replicates", "100", "--again"]
    world.add_train()
    assert evaluate.main(options) == 0
    assert "times the test split was scored in this database: 0\n" in capsys.readouterr().out
    world.finish("predict", split="test")
    world.add_train()
    assert evaluate.main(options) == 0
    assert "times the test split was scored in this database: 1\n" in capsys.readouterr().out
    with session.transaction(world.context.engine) as db:
        for image in world.images:
            db.get_one(Image, image.id).split = "train"
        tallies.dataset(db, world.dataset.id)
    assert evaluate.main(options) == 0
    assert "the test split" not in capsys.readouterr().out


def test_unlabelled_predictions_alone_cannot_be_measured(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with session.transaction(world.context.engine) as db:
        for image in world.images:
            db.get_one(Image, image.id).label = None
    world.add_predict()
    assert evaluate.main(world.options) == 1
    said = capsys.readouterr().err
    assert "no image that it scored has a label" in said and "out-of-fold values" not in said
    with session.transaction(world.context.engine) as db:
        (run,) = runs.page(db, kind="evaluate")
        assert run.status == "failed"


def test_retrieval_values_are_those_of_brute_force_in_each_of_three_ways_and_for_words(world: World) -> None:
    world.add_predict()
    made = world.add_index("aligned")
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    vectors = np.load(world.context.artifacts / "indexes" / "aligned" / f"{made.id:04d}" / "vectors.npy")
    labels = np.array([image.label for image in world.images])
    patients = np.array([image.patient_key for image in world.images])
    test = np.array([image.split == "test" for image in world.images])
    near = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    own = np.eye(len(labels), dtype=bool)
    same = patients[:, None] == patients
    stored = world.evaluated()
    for way, candidates in {"": test & ~own, "other_patients_": test & ~same, "from_train_": ~test & ~own}.items():
        order = np.argsort(-np.where(candidates, near, -np.inf), axis=1)[test, :3]
        precision = (labels[order] == labels[test][:, None]).mean()
        assert stored["test", "aligned", f"{way}p_at_3"].value == pytest.approx(precision), way
    asked = np.load(made.folder / "query_vectors.npy")
    wanted = [number for number, query in enumerate(QUERIES) if query.kind == "normal"]
    order = np.argsort(-(asked[wanted].astype(np.float64) @ vectors[test].T.astype(np.float64)), axis=1)[:, :5]
    found = stored["test", "aligned / normal", "text_p_at_5"].value
    assert found == pytest.approx((labels[test][order] == 0).mean())


def test_images_that_an_embedder_was_trained_on_are_no_queries(world: World) -> None:
    trained = world.add_train()
    world.add_predict(trained)
    world.add_index("aligned", train_run=trained.id)
    world.add_index("efficientnet_lite0")
    with session.transaction(world.context.engine) as db:
        db.execute(update(Image).values(split=None))
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    stored = world.evaluated()
    assert stored["all", "aligned", "p_at_1"].n == len(world.of("test")) == 50
    assert stored["all", "efficientnet_lite0", "p_at_1"].n == 100


def test_an_embedder_and_a_cause_with_long_names_fit_a_slice(world: World) -> None:
    world.add_predict()
    world.add_index("open_clip:" + "x" * 90)
    with session.transaction(world.context.engine) as db:
        db.execute(update(Image).where(Image.cause == "viral").values(cause="mycoplasma pneumonia"))
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    (name,) = {where for _, where, _ in world.evaluated() if where.endswith("xxx / mycoplasma pneumonia")}
    assert len(name) == 80


def test_a_damaged_index_is_named_and_the_rest_is_measured(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.add_predict()
    damaged = world.add_index()
    world.add_index("efficientnet_lite0")
    (world.context.artifacts / "indexes" / "classifier" / f"{damaged.id:04d}" / "ids.npy").write_bytes(b"torn")
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    assert "skipped index of classifier: " in capsys.readouterr().out
    stored = world.evaluated()
    assert ("test", "efficientnet_lite0", "p_at_5") in stored
    assert ("test", "classifier", "p_at_5") not in stored


def test_corrected_labels_and_labels_taken_back_are_measured_anew(world: World) -> None:
    world.add_predict(world.add_train())
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    before = world.evaluated()["test", "all", "accuracy"].value
    with session.transaction(world.context.engine) as db:
        for image in db.query(Image).filter_by(split="test", label=1).limit(5):
            image.label = 0
        db.query(Image).filter_by(split="train").first().label = None  # type: ignore[union-attr]  # there are some
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    assert world.evaluated()["test", "all", "accuracy"].value != before
    files = world.evaluated()["oof", "all", "auc"].n
    assert files is not None and files < 55


def test_images_that_the_classifier_was_trained_on_are_never_judged(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = world.add_train()
    run = world.finish("predict", summary={"threshold": 0.45, "train_run": trained.id})
    world.add_predictions(run, world.of("train"), heatmaps=True)
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    assert (
        "all labelled images that it scored are of patients whom its classifier was trained on"
        in capsys.readouterr().out
    )
    assert {split for split, _, name in world.evaluated() if name == "auc"} == {"oof"}


def test_subgroups_are_measured_on_every_file_and_anew_where_something_else_is_known(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    predict = world.add_predict(world.add_train())
    with session.transaction(world.context.engine) as db:
        files = {row.image_id: row.file_count for row in predictions.of_run(db, predict.id) if row.label == 1}
        views = {number: "AP" if place % 2 else "PA" for place, number in enumerate(files)}
        writes.attributes(db, {number: {"view": view} for number, view in views.items()})
        for row in db.query(Prediction).filter(Prediction.run_id == predict.id, Prediction.image_id.in_(views)):
            row.probability = 0.9 if views[row.image_id] == "PA" else 0.1
    assert evaluate.main([*world.options, "--replicates", "1000"]) == 0
    stored = world.evaluated()
    for view, recall in (("AP", 0.0), ("PA", 1.0)):
        measured = stored["test", f"view: {view}", "recall"]
        assert (measured.value, measured.n) == (recall, sum(files[number] for number in views if views[number] == view))
    warned = (
        "Recall (sensitivity) on split test is 100.0 points lower for images with view AP than for the others (p 0.033"
    )
    assert warned in capsys.readouterr().out
    with session.transaction(world.context.engine) as db:
        writes.attributes(db, {number: {} for number in views})
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    assert not [where for _, where, _ in world.evaluated() if ": " in where]


def test_figures_at_coverages_are_stored_as_steps_and_told_for_each_split(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    predict = world.add_predict(world.add_train())
    assert evaluate.main([*world.options, "--replicates", "100", "--all"]) == 0
    said = capsys.readouterr().out.splitlines()
    with session.transaction(world.context.engine) as db:
        run = runs.current(db, "evaluate", world.dataset.id)
        assert run is not None
        steps = {(row.split, row.name, row.step): row for row in runs.metrics(db, run.id, curves=True)}
        files = [row for row in predictions.of_run(db, predict.id) for _ in range(row.file_count)]
    final = world.evaluated()
    odds = [abs(np.log(row.probability / (1 - row.probability) / (0.45 / 0.55))) for row in files]
    order = sorted(range(55), key=lambda row: -odds[row])
    right = [(files[row].probability >= 0.45) == bool(files[row].label) for row in order]
    cutoff = odds[order[43]]  # 44 of 55 files are 80 %
    called = [number for number, row in enumerate(order) if odds[row] >= cutoff]
    stored = steps["test", "selective_accuracy", 80]
    assert stored.value == pytest.approx(np.mean([right[number] for number in called]))
    assert stored.n == len(called)
    assert stored.value is not None and stored.low is not None and stored.low <= stored.value
    assert steps["test", "referred_low", 80].n == 55 - len(called)
    assert {step for _, name, step in steps if name == "referred_high"} == {100, 95, 90, 80, 70, 50}
    assert {step for _, name, step in steps if name == "selective_recall"} == set(range(1, 101))
    assert steps["oof", "selective_specificity", 100].value == final["oof", "all", "specificity"].value
    assert steps["test", "selective_accuracy", 5].value is None, "three images are too few"
    assert steps["test", "referred_low", 100].value is None, "nothing is referred"
    excess, area, accuracy = (final["test", "all", name].value or 0 for name in ("e_aurc", "aurc", "accuracy"))
    assert 0 < excess < area < 1 - accuracy
    for split in ("test", "oof"):
        (line,) = [line.split() for line in said if line.startswith(split) and "80 % " in line and "accuracy" in line]
        assert float(line[5]) == pytest.approx(steps[split, "selective_accuracy", 80].value, abs=1e-4)


def test_of_one_class_recall_at_a_coverage_is_unknown(world: World) -> None:
    world.add_predict()
    with session.transaction(world.context.engine) as db:
        db.execute(update(Image).where(Image.label == 1).values(label=None, cause=None))
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    with session.transaction(world.context.engine) as db:
        run = runs.current(db, "evaluate", world.dataset.id)
        assert run is not None
        steps = {(row.name, row.step): row.value for row in runs.metrics(db, run.id, curves=True)}
    assert steps["selective_recall", 90] is None and steps["selective_accuracy", 90] is not None
