"""audit on rows that the tests store, with a classifier whose evidence is known: the brightness of one corner."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Picture
from sklearn.metrics import roc_auc_score
from sqlalchemy import select
from torch import nn

from db import session
from db.models import Artifact, ErrorSlice, Image, ImageMeasure, Metric, Neighbour, Run, SliceMember, TrainedOn
from db.queries import audit as queries
from db.queries import cases, predictions, runs
from db.queries.cases import Question
from engine.audit.faithfulness import STEPS
from engine.audit.shortcuts import frame_mask
from engine.classification.classifiers.inference import Inference
from engine.classification.stresses import STRESSES, stressed
from engine.digests import file_sha256
from engine.imaging.images import read_batch, resize
from engine.metrics import names
from engine.metrics.names import FRAME_PROBES
from engine.retrieval.embedders import unit
from jobs import audit, import_predictions
from jobs.audits import explanations, stresses
from jobs.command import Context
from tests.finished_runs import World, make_world

SIDE = 64
STRESSED = {
    "stress_changed",
    *(f"stress_{name}{suffix}" for name in names.SUBGROUP_MEASURES for suffix in ("", names.DIFFERENCE)),
}
ADJUSTED = {f"{mode}_gain{names.P_VALUE}" for mode in ("deletion", "insertion")}
FAST = ["--replicates", "100", "--sample", "3"]


@dataclass
class Corner:
    """Predicts pneumonia if the upper left quarter is bright; its heatmaps are hot there while it keeps its weights."""

    revision: str = "c" * 64
    input_size: int = SIDE
    scored: int = 0
    head: nn.Linear = field(default_factory=lambda: nn.Linear(49, 1))

    def __post_init__(self) -> None:
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(corner_heat()).reshape(1, 49))

    def run(self, pixels: np.ndarray, *, heatmaps: bool = False) -> Inference:
        self.scored += len(pixels)
        mean = pixels[:, : SIDE // 2, : SIDE // 2].mean(axis=(1, 2))
        logits = (mean - 120.0) / 20
        features = np.stack([mean, pixels.mean(axis=(1, 2)), np.full(len(pixels), 50.0)], axis=1).astype(np.float32)
        weights = self.head.weight.detach().numpy().reshape(1, 7, 7).clip(0)
        heat = np.repeat(weights / weights.max(), len(pixels), axis=0) if heatmaps else None
        return Inference(logits, 1 / (1 + np.exp(-logits)), features, heat)


def corner_heat() -> np.ndarray:
    heat = np.full((7, 7), 0.05, dtype=np.float32)
    heat[:4, :4] = 1.0
    return heat + np.linspace(0, 0.01, 49, dtype=np.float32).reshape(7, 7)


class Thumbnails:
    """An embedder that costs nothing: the image itself, resized to 8 x 8."""

    def fit(self, picture: np.ndarray) -> np.ndarray:
        return resize(picture, SIDE)

    def embed_images(self, pixels: np.ndarray) -> np.ndarray:
        return unit(pixels.reshape(len(pixels), 8, 8, 8, 8).mean(axis=(2, 4)).reshape(len(pixels), 64) + 1.0)


def redraw(world: World, image: Image, pixels: np.ndarray) -> None:
    """Replace the image's file, as if it had been ingested with it."""
    file = Path(world.dataset.root) / image.path
    Picture.fromarray(pixels).save(file)
    image.sha256 = file_sha256(file)
    with session.transaction(world.context.engine) as db:
        db.get_one(Image, image.id).sha256 = image.sha256


@pytest.fixture
def corner(monkeypatch: pytest.MonkeyPatch) -> Corner:
    made = Corner()
    monkeypatch.setattr(
        "engine.classification.classifiers.checkpoints.load_classifier", lambda *_args, **_options: made
    )
    monkeypatch.setattr("engine.retrieval.embedders.load_embedder", lambda *_args, **_options: Thumbnails())
    return made


@pytest.fixture
def world(context: Context, job_options: list[str], tmp_path: Path, corner: Corner) -> Iterator[World]:
    """100 noisy images, bright in the corner where pneumonia is; a train run with a checkpoint, and a predict run."""
    world = make_world(context, job_options, tmp_path / "drawn", synthetic=False)
    draw = np.random.default_rng(2)
    for image in world.images:
        pixels = draw.integers(40, 120, (SIDE, SIDE), dtype=np.uint8)
        pixels[: SIDE // 2, : SIDE // 2] += np.uint8(100 * (image.label or 0))
        redraw(world, image, pixels)
    train = world.add_train()
    (train.folder / "checkpoint").mkdir()
    (train.folder / "checkpoint" / "model.json").write_text("{}")
    train.artifact("checkpoint", train.folder / "checkpoint")
    predict = world.add_predict(train)
    np.save(predict.folder / "heatmaps.npy", np.stack([corner_heat()] * 50).astype(np.float16))
    predict.artifact("heatmaps", predict.folder / "heatmaps.npy", shape=(50, 7, 7))
    yield world


def stored(world: World) -> tuple[Run, dict[tuple[str, str, str, int], Metric]]:
    with session.transaction(world.context.engine) as db:
        run = runs.current(db, "audit", world.dataset.id)
        assert run is not None
        rows = [*runs.metrics(db, run.id), *runs.metrics(db, run.id, curves=True)]
    return run, {(row.name, row.split, row.slice, row.step): row for row in rows}


def failures(world: World) -> set[int]:
    with session.transaction(world.context.engine) as db:
        (predict,) = runs.page(db, kind="predict")
        rows = predictions.of_run(db, predict.id, labelled=True)
    return {row.image_id for row in rows if (row.probability >= 0.45) != (row.label == 1)}


def test_an_audit_stores_every_answer_and_does_nothing_again_that_is_done(
    world: World, corner: Corner, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit.main([*world.options, *FAST]) == 0
    said = capsys.readouterr().out
    run, metrics = stored(world)
    assert run.summary is not None
    assert run.summary["skipped"] == []
    assert set(run.summary["values"]) == set(audit.QUESTIONS)
    assert {name for name, _, _, step in metrics if step == -1} <= names.FURTHER.keys() | STRESSED | ADJUSTED
    wrong = failures(world)
    assert run.summary["failures"] == len(wrong) > 5
    assert f"audit: sanity: {run.summary['verdicts']['sanity']}" in said
    assert not (world.context.artifacts / "runs" / f"{run.id:04d}-audit" / "parts").exists()
    with session.transaction(world.context.engine) as db:
        (predict,) = runs.page(db, kind="predict")
        assert queries.latest(db, predict.id).id == run.id  # type: ignore[union-attr]  # it was just stored
        assert queries.latest(db, predict.id + 1) is None
        near = db.query(Neighbour).filter_by(run_id=run.id).all()
        slices = queries.slices(db, run.id)
        members = queries.members(db, run.id)
        measures = db.query(ImageMeasure).filter_by(run_id=run.id).all()
    assert {row.image_id for row in near} == wrong
    test = {image.id for image in world.of("test")}
    assert {row.neighbour_id for row in near} <= {image.id for image in world.of("train")}
    assert sorted(number for found in members.values() for number in found) == sorted(test)
    assert sum(one.failures for one in slices) == len(wrong)
    assert all(metrics["error_rate", "test", one.name, -1].value == one.rate for one in slices)
    assert {row.image_id for row in measures if row.name == "frame_heat"} == test

    scored = corner.scored
    assert audit.main([*world.options, *FAST]) == 0
    assert f"already done as run {run.id}" in capsys.readouterr().out
    assert corner.scored == scored


def test_an_audit_of_films_that_are_no_test_any_more_is_made_anew(world: World) -> None:
    assert audit.main([*world.options, *FAST]) == 0
    before, _ = stored(world)
    with session.transaction(world.context.engine) as db:
        kept = db.scalars(select(TrainedOn).limit(1)).one()
        kept.patient_key = world.of("test")[0].patient_key
    assert audit.main([*world.options, *FAST]) == 0
    after, _ = stored(world)
    assert after.id != before.id and (after.summary or {})["images"] < (before.summary or {})["images"]


def test_what_a_killed_audit_found_of_other_weights_is_not_taken_up(world: World) -> None:
    assert audit.main([*world.options, *FAST]) == 0
    before, _ = stored(world)
    with session.transaction(world.context.engine) as db:
        db.get_one(Run, before.id).status = "interrupted"
        (predict,) = runs.page(db, kind="predict")
        predict.summary = {**(predict.summary or {}), "checkpoint_sha256": "d" * 64}
    assert audit.main([*world.options, *FAST]) == 0
    after, _ = stored(world)
    assert after.id != before.id


def imported(world: World, folder: Path, said: list[float], *more: str) -> None:
    """Import predictions of an unavailable classifier on the test images."""
    file = folder / "said.csv"
    rows = [f"{image.path},{p}" for image, p in zip(world.of("test"), said, strict=True)]
    file.write_text("\n".join(["path,probability", *rows]))
    assert import_predictions.main([str(file), "--classifier", "DenseNet-121", *world.options, *more]) == 0


NEEDS_THE_CLASSIFIER = (
    "occlusions",
    "stress tests",
    "neighbours",
    "sanity of the heatmaps",
    "faithfulness of the heatmaps",
)


def test_of_imported_predictions_all_is_answered_that_does_not_need_the_classifier(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    imported(world, tmp_path, [0.9 if (i.label or 0) != (n % 5 == 0) else 0.2 for n, i in enumerate(world.of("test"))])
    assert audit.main([*world.options, *FAST]) == 0
    run, metrics = stored(world)
    assert run.summary is not None and run.config["train_run"] is None
    reason = "the predictions of DenseNet-121 were imported; its weights are not available"
    absent = {f"{name}: {reason}" for name in NEEDS_THE_CLASSIFIER}
    absent.add("heat in the frame: the predictions of DenseNet-121 were imported without heatmaps")
    assert set(run.summary["skipped"]) == absent
    said = capsys.readouterr().out
    assert all(f"audit: skipped {line}" in said for line in absent)
    assert run.summary["failures"] == 10
    rates = {where: metric.value for (name, _, where, _), metric in metrics.items() if name == "error_rate"}
    assert rates["all"] == 0.2 and len(rates) > 1
    assert (metrics["probe_auc", "oof", "frame pixels", -1].n, metrics["probe_auc", "test", "frame pixels", -1].n) == (
        (len(world.of("train")), 50)
    )
    assert audit.main([*world.options, *FAST]) == 0
    assert f"already done as run {run.id}" in capsys.readouterr().out


def test_heat_in_the_frame_of_imported_heatmaps_is_measured(world: World, tmp_path: Path) -> None:
    np.save(tmp_path / "maps.npy", np.ones((50, 10, 10)))
    imported(world, tmp_path, [0.7] * 50, "--heatmaps", str(tmp_path / "maps.npy"))
    assert audit.main([*world.options, *FAST]) == 0
    run, metrics = stored(world)
    share = metrics["frame_heat", "test", "all", -1].value
    assert share == pytest.approx(metrics["frame_heat", "test", "even map", -1].value)
    assert {line.split(":")[0] for line in (run.summary or {})["skipped"]} == set(NEEDS_THE_CLASSIFIER)


def framed(world: World) -> list[float]:
    """Draw every image with a randomly brighter or darker frame, more often brighter for pneumonia; returns the test
    images' frame brightness in [0, 1]."""
    draw, found = np.random.default_rng(4), {}
    for image in world.images:
        bright = float(np.clip(draw.normal(0.5 + 0.2 * (image.label or 0), 0.15), 0, 1))
        pixels = draw.integers(90, 110, (SIDE, SIDE), dtype=np.uint8)
        pixels[frame_mask(SIDE)] = round(255 * bright)
        redraw(world, image, pixels)
        found[image.id] = bright
    return [found[image.id] for image in world.of("test")]


def test_a_classifier_that_follows_the_frame_is_told_from_one_that_does_not(world: World, tmp_path: Path) -> None:
    frame = framed(world)
    labels = [image.label or 0 for image in world.of("test")]
    imported(world, tmp_path, [0.4 * label + 0.5 * bright for label, bright in zip(labels, frame, strict=True)])
    assert audit.main([*world.options, *FAST]) == 0
    follows, metrics = stored(world)
    related = metrics["probe_correlation", "test", "image statistics", -1]
    assert related.value is not None and related.value > 0.6 and (related.low or 0) > 0.3
    assert "is associated with the score of " in (follows.summary or {})["verdicts"]["association"]

    draw = np.random.default_rng(6).uniform(0, 0.5, 50)
    imported(world, tmp_path, [0.4 * label + chance for label, chance in zip(labels, draw, strict=True)])
    assert audit.main([*world.options, *FAST]) == 0
    ignores, metrics = stored(world)
    related = metrics["probe_correlation", "test", "image statistics", -1]
    assert ignores.id != follows.id
    assert related.low is not None and related.high is not None and related.low < 0 < related.high


def test_without_other_images_each_judged_one_is_probed_by_folds(world: World, tmp_path: Path) -> None:
    with session.transaction(world.context.engine) as db:
        for image in world.of("train"):
            db.delete(db.get_one(Image, image.id))
    imported(world, tmp_path, [0.2 + 0.5 * (image.label or 0) for image in world.of("test")])
    assert audit.main([*world.options, *FAST]) == 0
    _, metrics = stored(world)
    probed = metrics["probe_auc", "test", "frame pixels", -1]
    assert probed.n == 50 and (probed.value or 0) > 0.9
    assert not [where for name, where, *_ in metrics if name == "probe_auc" and where == "oof"]
    assert metrics["probe_correlation", "test", "frame pixels", -1].value is None, "one probability for each label"


ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@ON_SQLITE
def test_what_the_classifier_sees_is_found_in_frame_inside_and_by_probes(world: World, corner: Corner) -> None:
    assert audit.main([*world.options, *FAST]) == 0
    _, metrics = stored(world)
    labels = np.array([image.label for image in world.of("test")])
    pixels = read_batch([Path(world.dataset.root) / image.path for image in world.of("test")], size=SIDE)
    inside = pixels[:, 6:-6, 6:-6].mean(axis=(1, 2))
    hidden = np.where(frame_mask(SIDE), np.rint(inside)[:, None, None], pixels)
    seen = hidden[:, : SIDE // 2, : SIDE // 2].mean(axis=(1, 2))
    expected = roc_auc_score(labels, seen)
    assert metrics["probe_auc", "test", "classifier, frame hidden", -1].value == pytest.approx(expected, abs=0.01)
    for probe in ("classifier, frame only", "image statistics", "frame pixels"):
        assert (metrics["probe_auc", "test", probe, -1].value or 0) > 0.95, probe
    assert (metrics["probe_auc", "oof", "frame pixels", -1].value or 0) > 0.95
    assert abs((metrics["probe_auc", "test", "image size", -1].value or 0) - 0.5) < 0.3, "all are 64 x 64"
    whole = metrics["probe_auc", "test", "classifier, whole image", -1]
    assert whole.value is not None and whole.value < 1.0 and whole.n == 50


@ON_SQLITE
def test_the_reference_of_the_frames_probes_is_the_output_with_the_frame_hidden(world: World, corner: Corner) -> None:
    draw = np.random.default_rng(8)
    for image in world.images:  # as severe in the corner's frame as inside it, so that hiding the frame changes little
        pixels = draw.integers(90, 110, (SIDE, SIDE), dtype=np.uint8)
        pixels[: SIDE // 2, : SIDE // 2] = round(draw.normal(110 + 40 * (image.label or 0), 25))
        redraw(world, image, pixels)
    assert audit.main([*world.options, *FAST]) == 0
    _, metrics = stored(world)
    hidden = metrics["probe_correlation_hidden", "test", "frame pixels", -1]
    assert hidden.n == 50 and (hidden.low or 0) > 0, "the classifier cannot see the frame, and is associated with it"
    assert {where for name, _, where, _ in metrics if name == "probe_correlation_hidden"} == set(FRAME_PROBES)


def test_calls_that_a_stress_changes_are_counted_and_found(world: World, corner: Corner) -> None:
    draw = np.random.default_rng(5)
    for image in world.of("test"):  # close to the classifier's threshold, so that each stress changes other calls
        pixels = draw.integers(90, 150, (SIDE, SIDE), dtype=np.uint8)
        bright = draw.integers(60, 180) + draw.integers(-40, 40, (SIDE // 2, SIDE // 2))
        pixels[: SIDE // 2, : SIDE // 2] = bright
        redraw(world, image, pixels)
    assert audit.main([*world.options, *FAST]) == 0
    run, metrics = stored(world)
    wrong = failures(world)
    assert run.summary is not None and run.summary["stresses"].keys() == STRESSES.keys()
    with session.transaction(world.context.engine) as db:
        (predict,) = runs.page(db, kind="predict")
        images = predictions.of_run(db, predict.id, labelled=True)
        measures = db.query(ImageMeasure).filter_by(run_id=run.id).all()
        counted = {row.slice: round((row.value or 0) * (row.n or 0)) for row in queries.stresses(db, run.id)}
        asked = Question(world.dataset.id, run_id=predict.id, threshold=0.45)
        found = {name: set(cases.ids(db, replace(asked, changed_under=(run.id, name)))) for name in STRESSES}
        for name, members in found.items():
            one = replace(asked, changed_under=(run.id, name))
            assert cases.count(db, one) == len(members)
            assert set(cases.ids(db, replace(one, outcome="wrong", reviewed="no"))) == members & wrong
        some = queries.under_stress(db, run.id, "framed", [image.image_id for image in images])
    pixels = read_batch([Path(world.dataset.root) / image.path for image in images], size=SIDE)
    before, labels = corner.run(pixels).probabilities, [image.label for image in images]
    changes = {image.image_id: 0 for image in images}
    for name, members in found.items():
        under = corner.run(stressed(pixels, name)).probabilities
        differ = (under >= 0.45) != (before >= 0.45)
        assert members == {image.image_id for image, changed in zip(images, differ, strict=True) if changed}, name
        assert metrics["stress_changed", "test", name, -1].value == pytest.approx(differ.mean())
        assert metrics["stress_auc", "test", name, -1].value == pytest.approx(roc_auc_score(labels, under))
        for number in members:
            changes[number] += 1
        if name == "framed":
            known = {image.image_id: p for image, p in zip(images, under, strict=True)}
            assert some == pytest.approx({number: known[number] for number in members})
    assert len({frozenset(members) for members in found.values()}) > 6, "stresses differ"
    assert counted == {name: len(members) for name, members in found.items()}
    assert list(counted.values()) == sorted(counted.values(), reverse=True)
    assert {row.image_id: row.value for row in measures if row.name == queries.CHANGES} == changes
    assert "most calls change on images that are " in run.summary["verdicts"]["robustness"]


@ON_SQLITE
def test_only_a_random_sample_of_many_images_is_stressed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stresses, "IMAGES", 20)
    assert audit.main([*world.options, *FAST]) == 0
    run, metrics = stored(world)
    assert metrics["stress_changed", "test", "noisy", -1].n == 20
    sides = [metrics[f"stress_{name}", "test", "noisy", -1].n or 0 for name in ("recall", "specificity")]
    assert sum(sides) == 20 and min(sides) > 0
    with session.transaction(world.context.engine) as db:
        assert db.query(ImageMeasure).filter_by(run_id=run.id, name=queries.CHANGES).count() == 20


@ON_SQLITE
def test_maps_of_the_evidence_beat_random_ones_and_change_with_the_weights(world: World, corner: Corner) -> None:
    assert audit.main([*world.options, *FAST, "--sample", "12"]) == 0
    run, metrics = stored(world)
    group = "called_pneumonia"
    gain = metrics["deletion_gain", "test", f"over random, {group}", -1]
    assert gain.value is not None and gain.low is not None and gain.low > 0
    areas = {order: metrics["deletion_auc", "test", f"{order}, {group}", -1].value for order in ("heatmap", "random")}
    assert gain.value == pytest.approx(areas["random"] - areas["heatmap"])  # type: ignore[operator]  # both are known
    for mode in ("deletion", "insertion"):
        curve = [metrics[f"{mode}_heatmap", "test", group, step].value for step in range(STEPS + 1)]
        area = float(np.trapezoid(np.array(curve, dtype=float), dx=1 / STEPS))
        assert metrics[f"{mode}_auc", "test", f"heatmap, {group}", -1].value == pytest.approx(area)
    assert metrics["deletion_heatmap", "test", group, 0].n == 12
    ends = {"as it is": ("deletion", 0), "grey": ("deletion", STEPS), "blurred": ("insertion", 0)}
    for name, (mode, step) in ends.items():
        end = metrics["occluded_probability", "test", f"{name}, {group}", -1]
        assert end.value == metrics[f"{mode}_random", "test", group, step].value
    for part in ("head", "network"):
        found = metrics["sanity_rank_correlation", "test", part, -1]
        assert found.high is not None and found.high < 0.5 and found.n == 48
    assert metrics["sanity_rank_correlation", "test", "another image", -1].value == pytest.approx(1.0)
    verdicts = (run.summary or {})["verdicts"]
    assert verdicts["sanity"].startswith("maps depend on the weights: rank correlation")
    assert verdicts["faithfulness"].startswith("in 12 images called pneumonia, deleting by heat is better than random")
    adjusted = [
        metrics[f"{mode}_gain_p", "test", f"over {order}, {group}", -1].value
        for mode in ("deletion", "insertion")
        for order in ("random", "centre")
    ]
    assert all(p is None or 0 <= p <= 1 for p in adjusted) and (adjusted[0] or 1) < 0.05


@ON_SQLITE
def test_maps_that_do_not_change_with_the_weights_fail(
    world: World, corner: Corner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.audit.sanity.randomised", lambda classifier, part, seed: classifier)
    assert audit.main([*world.options, *FAST]) == 0
    run, _ = stored(world)
    assert run.summary is not None and run.summary["verdicts"]["sanity"].startswith("failed")


def test_a_near_duplicate_in_training_is_found_whether_or_not_the_image_is_a_failure(world: World) -> None:
    root = Path(world.dataset.root)
    learned, judged = world.of("train")[3], world.of("test")[7]
    with Picture.open(root / learned.path) as picture:
        redraw(world, judged, np.asarray(picture.point(lambda grey: grey * 0.9)))
    assert audit.main([*world.options, *FAST]) == 0
    run, metrics = stored(world)
    with session.transaction(world.context.engine) as db:
        copies = db.query(Neighbour).filter_by(run_id=run.id, verdict="near-duplicate").all()
        listed = queries.neighbours(db, run.id, judged.id)
    assert [(row.image_id, row.neighbour_id) for row in copies] == [(judged.id, learned.id)]
    assert copies[0].hash_distance <= 32
    assert metrics["near_duplicates", "test", "all", -1].value == pytest.approx(1 / 50)
    assert learned.id in [one.image.id for one in listed]
    similarities = [one.neighbour.similarity for one in listed]
    assert similarities == sorted(similarities, reverse=True)
    assert [one.neighbour.rank for one in listed] == list(range(1, len(listed) + 1))


@ON_SQLITE
def test_neighbours_are_the_nearest_by_the_classifiers_features(world: World, corner: Corner) -> None:
    assert audit.main([*world.options, *FAST]) == 0
    run, metrics = stored(world)
    root = Path(world.dataset.root)

    def features(split: str) -> np.ndarray:
        made = corner.run(read_batch([root / image.path for image in world.of(split)], size=SIDE)).features
        return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True))

    centre = features("train").mean(axis=0)
    ours, theirs = features("test") - centre, features("train") - centre
    ours, theirs = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (ours, theirs))
    similar = ours.astype(float) @ theirs.astype(float).T
    training = np.array([image.id for image in world.of("train")])
    labels = np.array([image.label for image in world.of("train")])
    agreement = []
    for place, image in enumerate(world.of("test")):
        nearest = np.argsort(-similar[place])[:5]
        agreement.append((labels[nearest] == image.label).mean())
        with session.transaction(world.context.engine) as db:
            found = queries.neighbours(db, run.id, image.id)
        if image.id in failures(world):
            assert [one.neighbour.similarity for one in found] == pytest.approx(similar[place][nearest], abs=1e-6)
            assert {one.image.id for one in found} <= set(training)
    assert metrics["neighbour_label_agreement", "test", "all", -1].value == pytest.approx(np.mean(agreement))


@ON_SQLITE
def test_an_audit_that_was_stopped_goes_on_where_it_was(
    world: World, corner: Corner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explanations, "SHARD", 2)
    whole, limit = Corner.run, corner.scored + 1700

    def failing(self: Corner, pixels: np.ndarray, **options: Any) -> Inference:
        if corner.scored > limit:
            raise KeyboardInterrupt
        return whole(self, pixels, **options)

    monkeypatch.setattr(Corner, "run", failing)
    assert audit.main([*world.options, *FAST]) == 130
    with session.transaction(world.context.engine) as db:
        (run,) = runs.page(db, kind="audit")
    assert run.status == "interrupted"
    parts = world.context.artifacts / "runs" / f"{run.id:04d}-audit" / "parts"
    assert list(parts.glob("curves-*.npy")) and list(parts.glob("stressed-*.npy"))
    monkeypatch.setattr(Corner, "run", whole)
    before = corner.scored
    with monkeypatch.context() as without:
        without.setattr("engine.classification.stresses.stressed", None)  # nothing is altered a second time
        assert audit.main([*world.options, *FAST]) == 0
    resumed, metrics = stored(world)
    spent = corner.scored - before
    assert resumed.id == run.id
    assert (
        audit.main([*world.options, *FAST, "--seed", "0", "--folds", "4"]) == 0
    )  # another run: everything is recomputed
    again, other = stored(world)
    assert again.id != run.id
    assert corner.scored - before - spent > spent
    same = [key for key in metrics if key[0].startswith(("deletion", "insertion", "sanity", "near", "error"))]
    assert len(same) > 100
    assert [metrics[key].value for key in same] == [other[key].value for key in same]


def test_forgetting_a_run_forgets_what_it_found(world: World) -> None:
    assert audit.main([*world.options, *FAST]) == 0
    with session.transaction(world.context.engine) as db:
        db.delete(db.get_one(Run, stored(world)[0].id))
    with session.transaction(world.context.engine) as db:
        for model in (Neighbour, ErrorSlice, SliceMember, ImageMeasure):
            assert db.query(model).count() == 0, model


@ON_SQLITE
def test_too_few_patients_for_the_probes_cost_the_probes_alone(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit.main([*world.options, *FAST, "--folds", "40"]) == 0
    assert (
        "audit: skipped shortcut probes: 'normal' has 5 training patients and 40 folds need" in capsys.readouterr().out
    )
    run, metrics = stored(world)
    assert ("probe_auc", "test", "classifier, frame only", -1) in metrics
    assert ("probe_auc", "test", "frame pixels", -1) not in metrics
    assert len(run.summary["skipped"]) == 1  # type: ignore[index]  # a finished run has one


@ON_SQLITE
def test_maps_without_any_heat_cost_what_is_asked_of_heat_alone(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    with session.transaction(world.context.engine) as db:
        (predict,) = runs.page(db, kind="predict")
        stored_maps = db.query(Artifact).filter_by(run_id=predict.id, name="heatmaps").one()
        file = world.context.artifacts / stored_maps.path
        np.save(file, np.zeros((50, 7, 7), np.float16))
        stored_maps.sha256 = file_sha256(file)
    assert audit.main([*world.options, *FAST]) == 0
    reason = "no audited image has any heat to delete or insert"
    assert f"audit: skipped faithfulness of the heatmaps: {reason}" in capsys.readouterr().out
    run, metrics = stored(world)
    assert f"faithfulness of the heatmaps: {reason}" in run.summary["skipped"]  # type: ignore[index]  # it is finished
    assert ("probe_auc", "test", "classifier, frame only", -1) in metrics


@ON_SQLITE
def test_image_files_that_are_gone_cost_what_needs_them_and_are_looked_for_again(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {path: path.read_bytes() for path in Path(world.dataset.root).iterdir()}
    for path in files:
        path.unlink()
    assert audit.main([*world.options, *FAST]) == 0
    said = capsys.readouterr().out
    assert "audit: skipped slices: image" in said and "ingest its folder again" in said
    run, metrics = stored(world)
    assert {name for name, *_ in metrics} == {"frame_heat"}
    for path, data in files.items():
        path.write_bytes(data)
    assert audit.main([*world.options, *FAST, "--again"]) == 0
    again, metrics = stored(world)
    assert again.id != run.id and ("probe_auc", "test", "frame pixels", -1) in metrics


@ON_SQLITE
@pytest.mark.parametrize(
    ("harm", "code", "expected"),
    [
        ("no heatmaps", 1, "are missing or damaged; predict again with: python -m jobs predict --dataset drawn"),
        ("torn heatmaps", 1, "error: the heatmaps of predict run"),
        (
            "no checkpoint",
            1,
            "is missing or damaged; train again with: python -m jobs train --dataset drawn",
        ),
        ("another run", 2, "run 1 is not a finished predict run of dataset 'drawn'"),
        ("few replicates", 2, "--replicates: 5 is too few"),
        ("one fold", 2, "--folds 1 leaves nothing to hold out"),
    ],
)
def test_what_is_missing_is_one_line(
    world: World, capsys: pytest.CaptureFixture[str], harm: str, code: int, expected: str
) -> None:
    options = {
        "another run": ["--predict-run", "1"],
        "few replicates": ["--replicates", "5"],
        "one fold": ["--folds", "1"],
    }
    with session.transaction(world.context.engine) as db:
        (predict,) = runs.page(db, kind="predict")
        (train,) = runs.page(db, kind="train")
    folder = world.context.artifacts / "runs"
    match harm:
        case "no heatmaps":
            (folder / f"{predict.id:04d}-predict" / "heatmaps.npy").unlink()
        case "torn heatmaps":
            (folder / f"{predict.id:04d}-predict" / "heatmaps.npy").write_bytes(b"torn")
        case "no checkpoint":
            (folder / f"{train.id:04d}-train" / "checkpoint" / "model.json").unlink()
            (folder / f"{train.id:04d}-train" / "checkpoint").rmdir()
    assert audit.main([*world.options, *FAST, *options.get(harm, [])]) == code
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert expected in line


@ON_SQLITE
def test_without_predictions_the_command_is_named(
    context: Context, job_options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = make_world(context, job_options, tmp_path / "drawn", synthetic=False)
    assert audit.main(world.options) == 1
    assert capsys.readouterr().err == (
        "error: dataset 'drawn' has no predictions to audit; make some with: python -m jobs predict --dataset drawn\n"
    )
    world.add_predict()
    assert audit.main(world.options) == 1
    assert "the train run behind predict run" in (said := capsys.readouterr().err) and "is unknown" in said
