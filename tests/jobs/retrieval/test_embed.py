"""embed on small images, on both databases: exactly once, resumable, incremental, and refused when it should be."""

import dataclasses
import json
import shutil
import subprocess
import sys
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Picture
from sqlalchemy import select, update

from db import session
from db.models import Dataset, Image, Run, TrainedOn, VectorIndex
from db.queries import runs
from engine.classification.classifiers.inference import Inference
from engine.digests import file_sha256
from engine.imaging.images import Ingested, resize
from engine.retrieval import embedders
from engine.retrieval.embedders import EmbedderSpec
from engine.retrieval.embedders.aligned import AlignedEmbedder, ClassifierEmbedder
from engine.retrieval.embedders.features import FeatureEmbedder
from engine.retrieval.embedders.multiview import MultiviewEmbedder
from engine.retrieval.embedders.protocol import Sources
from engine.retrieval.index.centring import uncentred
from engine.retrieval.index.vector_index import VectorIndex as OpenIndex
from engine.retrieval.text import alignment, caveats
from jobs import embed, evaluate, ingest, search
from jobs.command import Context
from jobs.embeddings import vectors
from jobs.run import ActiveRun, Work
from tests.jobs.retrieval.small_films import (
    COUNT,
    answer,
    assert_alike,
    built,
    newest_index,
    opened,
    pixels,
    png,
    rows,
    small_pixels,
)
from tests.tiny_models import tiny_clip


def another(folder: Path, options: list[str]) -> None:
    """Ingest one more image."""
    (folder / "train" / "NORMAL" / "IM-0099-0001.png").write_bytes(png(pixels(98)))
    assert ingest.main([str(folder), "--name", "films", *options]) == 0


def test_the_next_images_are_read_while_the_network_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [tmp_path / f"{number}.png" for number in range(3)]
    for number, file in enumerate(files):
        file.write_bytes(png(pixels(number)))
    read = [Event() for _ in files]
    embedder = small_pixels(embedders.REGISTRY["imagenet-lite0"], Sources())
    fit, embed_images, embedded = embedder.fit, embedder.embed_images, count(1)

    def fitting(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        next(each for each in read if not each.is_set()).set()
        return fit(picture)

    def busy(given: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert read[min(next(embedded), 2)].wait(30)
        return embed_images(given)

    monkeypatch.setattr(embedder, "fit", fitting)
    monkeypatch.setattr(embedder, "embed_images", busy)

    def counted(count: int = 1, note: str | None = None) -> None:
        pass

    ingested = [Ingested(file, file_sha256(file)) for file in files]
    made = vectors.embed_files(embedder, ingested, set(), batch_size=1, advance=counted)
    assert made.shape == (3, 64)


def test_embedding_twice_is_one_run_and_one_index_over_every_image(
    options: list[str], context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert embed.main(["--embedder", "small", *options]) == 0
    assert "already done as run" in capsys.readouterr().out
    assert rows(context, VectorIndex) == 1
    row = newest_index(context)
    opened = OpenIndex.open(context.artifacts / row.path, sha256=row.sha256)
    with session.transaction(context.engine) as db:
        images = {image.id: image.path for image in db.scalars(select(Image))}
        run = db.get_one(Run, row.run_id)
    assert sorted(opened.ids) == sorted(images)
    assert (row.count, row.dimension, row.embedder, run.status, run.done) == (COUNT, 64, "small", "finished", COUNT)
    assert not (context.artifacts / "runs" / f"{run.id:04d}-embed" / "shards").exists()
    for number, vector in zip(opened.ids, opened.vectors, strict=True):
        file = context.artifacts.parent / "films" / images[number]
        expected = small_pixels(embedders.REGISTRY["small"], Sources()).embed_images(
            resize(np.asarray(Picture.open(file)), 32)[None]
        )
        np.testing.assert_allclose(vector, expected[0], atol=1e-6)


def test_an_index_of_a_second_database_on_the_same_artifact_folder_leaves_the_firsts_in_place(
    options: list[str], context: Context, folder: Path, template: Path, tmp_path: Path
) -> None:
    assert embed.main(["--embedder", "small", *options]) == 0
    row = newest_index(context)
    database = shutil.copy(template, tmp_path / "second.db")
    other = ["--database", f"sqlite:///{database}", *options[2:]]
    (folder / "test" / "NORMAL" / "IM-0000-0001.png").unlink()
    assert ingest.main([str(folder), "--name", "films", *other]) == embed.main(["--embedder", "small", *other]) == 0
    assert len(OpenIndex.open(context.artifacts / row.path, sha256=row.sha256).ids) == COUNT
    second = session.connect(f"sqlite:///{database}")
    written = newest_index(dataclasses.replace(context, engine=second))
    second.dispose()
    assert written.run_id == row.run_id and written.path.startswith(f"{row.path}-")
    assert len(OpenIndex.open(context.artifacts / written.path, sha256=written.sha256).ids) == COUNT - 1


def test_a_new_picture_makes_a_new_index_and_a_damaged_one_is_built_again(
    options: list[str], context: Context, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert embed.main(["--embedder", "small", *options]) == 0
    first = newest_index(context)
    (context.artifacts / first.path / "vectors.npy").write_bytes(b"torn")
    assert search.main(["--case", "1", *options]) == 1
    assert "vectors.npy is not the file that was written" in capsys.readouterr().err
    assert embed.main(["--embedder", "small", *options]) == 0
    assert newest_index(context).id == first.id  # evaluations refer to it by id
    assert search.main(["--case", "1", *options]) == 0
    another(folder, options)
    assert embed.main(["--embedder", "small", *options]) == 0
    assert newest_index(context).count == COUNT + 1


def test_a_picture_that_is_forgotten_takes_no_hits_place_and_the_index_before_it_comes_into_force_again(
    options: list[str], context: Context, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def found() -> tuple[list[int], str]:
        capsys.readouterr()
        assert search.main(["--case", "1", "--k", "50", "--json", *options]) == 0
        answer = json.loads(capsys.readouterr().out)
        assert [hit["rank"] for hit in answer["hits"]] == list(range(1, len(answer["hits"]) + 1))
        return [hit["case"] for hit in answer["hits"]], f"{answer['answered_by']}; {'; '.join(answer['notes'])}"

    assert embed.main(["--embedder", "small", *options]) == 0
    alone, first = found()
    another(folder, options)
    assert embed.main(["--embedder", "small", *options]) == 0
    grown, second = found()
    assert (len(alone), len(grown)) == (COUNT - 1, COUNT) and "update the index" not in first + second
    (folder / "train" / "NORMAL" / "IM-0099-0001.png").unlink()
    assert ingest.main([str(folder), "--name", "films", "--prune", *options]) == 0
    left, said = found()
    assert left == alone and f"only {COUNT - 1} cases match" in said
    assert f"the dataset has {COUNT} images; update the index with" in said
    assert embed.main(["--embedder", "small", *options]) == 0
    assert "already done" in capsys.readouterr().out
    assert found() == (alone, first)


def test_an_index_of_as_many_images_as_the_dataset_but_others_is_told(
    options: list[str], context: Context, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert embed.main(["--embedder", "small", *options]) == 0
    max((folder / "train" / "NORMAL").iterdir()).write_bytes(png(pixels(96)))  # replaces an image
    assert ingest.main([str(folder), "--name", "films", "--prune", *options]) == 0
    assert rows(context, Image) == newest_index(context).count
    stale = "note: the dataset has images that are not in the index; update the index with"
    for is_told in (True, False):
        capsys.readouterr()
        assert search.main(["--case", "1", *options]) == 0
        assert (stale in capsys.readouterr().out) is is_told
        assert embed.main(["--embedder", "small", *options]) == 0


def test_a_collection_that_was_too_small_for_a_centre_gets_one_when_it_has_grown(
    options: list[str], context: Context, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.retrieval.index.centring.FEWEST_TO_CENTRE", 2 * COUNT // 3 + 1)  # of training images
    assert not built(context, options).centre.any()
    another(folder, options)
    grown = built(context, options)
    anew = built(context, options, "--again")
    assert anew.centre.any()
    assert_alike(grown, anew)


def test_the_centre_is_that_of_the_training_images_that_are_there_by_now(
    options: list[str],
    context: Context,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first images may all have one label: an index that kept their mean would search worse than one without."""

    monkeypatch.setattr("engine.retrieval.index.centring.FEWEST_TO_CENTRE", 3)
    first = built(context, options)
    another(folder, options)
    for said in ("embedded 1 images", "embedded 0 images"):
        grown = built(context, options)
        assert said in capsys.readouterr().out
        anew = built(context, options, "--again")
        assert np.abs(first.centre - grown.centre).max() > 1e-3
        assert_alike(grown, anew)
        first = grown
        with session.transaction(context.engine) as db:  # a split is corrected
            train = select(Image).where(Image.split == "train").order_by(Image.id)
            db.scalars(train.limit(1)).one().split = "test"
        capsys.readouterr()


def test_a_centre_of_test_images_gives_way_to_one_of_training_images(
    options: list[str], context: Context, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.retrieval.index.centring.FEWEST_TO_CENTRE", 3)
    with session.transaction(context.engine) as db:
        splits = {image.id: image.split for image in db.scalars(select(Image))}
        db.execute(update(Image).values(split="test"))
    before = built(context, options)
    with session.transaction(context.engine) as db:
        for number, split in splits.items():
            db.get_one(Image, number).split = split
    capsys.readouterr()
    after = built(context, options)
    assert "embedded 0 images" in capsys.readouterr().out
    assert (before.manifest.centred_on, after.manifest.centred_on) == ("all", "train")
    anew = built(context, options, "--again")
    assert_alike(after, anew)
    assert np.abs(before.centre - after.centre).max() > 1e-3


def test_what_is_another_picture_by_now_is_not_embedded_under_its_former_name(
    options: list[str], context: Context, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = next(folder.rglob("person1_*.png"))
    file.write_bytes(png(pixels(77)))
    assert embed.main(["--embedder", "small", *options]) == 1
    assert f"{file.name} changed since it was ingested; ingest its folder again with --prune" in capsys.readouterr().err
    assert ingest.main([str(folder), "--name", "films", "--prune", *options]) == 0
    assert embed.main(["--embedder", "small", *options]) == 0
    assert newest_index(context).count == COUNT


def test_only_new_pictures_are_embedded_and_those_that_are_gone_disappear(
    options: list[str],
    context: Context,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[int] = []
    real = vectors.embed_files

    def counted(embedder: Any, paths: Any, learnt: Any, **rest: Any) -> Any:
        seen.append(len(paths))
        return real(embedder, paths, learnt, **rest)

    monkeypatch.setattr(vectors, "embed_files", counted)
    first = built(context, options)
    with session.transaction(context.engine) as db:
        gone = db.get_one(Image, int(first.ids[3]))
        (folder / gone.path).unlink()
        db.delete(gone)
    another(folder, options)
    capsys.readouterr()
    assert embed.main(["--embedder", "small", *options]) == 0
    assert seen == [COUNT, 1]
    second = opened(context)
    with session.transaction(context.engine) as db:
        now = {image.id: image.path for image in db.scalars(select(Image))}
    assert sorted(second.ids) == sorted(now)
    shared = sorted(set(first.ids) & set(second.ids))
    np.testing.assert_array_equal(first.vectors[first.rows(shared)], second.vectors[second.rows(shared)])
    there = len(shared)
    assert "embedded 1 images with 'small' (64 dimensions)" in (said := capsys.readouterr().out)
    assert f"{there} already had a vector" in said
    assert embed.main(["--embedder", "small", "--again", *options]) == 0
    assert seen == [COUNT, 1, len(now)]


def test_pictures_that_are_prepared_otherwise_are_embedded_anew_and_not_asked_beside_the_others(
    options: list[str], context: Context, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_clip(tmp_path / "models" / "clip", preprocess_cfg={"resize_mode": "squash"})
    file = tmp_path / "models" / "clip" / "open_clip_config.json"
    squashed = file.read_text()
    assert embed.main(["--embedder", "clip", *options]) == 0
    file.write_text(squashed.replace('"squash"', '"longest", "interpolation": "bilinear"'))
    assert search.main(["--text", "opacity", "--embedder", "clip", *options]) == 1
    assert "pictures prepared otherwise" in capsys.readouterr().err
    assert embed.main(["--embedder", "clip", *options]) == 0
    assert f"embedded {COUNT} images with 'clip'" in capsys.readouterr().out
    assert search.main(["--text", "opacity", "--embedder", "clip", *options]) == 0
    file.write_text(squashed)
    assert embed.main(["--embedder", "clip", *options]) == 0
    assert "already done" in capsys.readouterr().out


def test_nothing_is_said_of_the_recall_of_a_single_image(
    options: list[str], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "single").mkdir()
    shutil.copy(next(folder.rglob("*.png")), tmp_path / "single")
    assert ingest.main([str(tmp_path / "single"), *options]) == 0
    assert embed.main(["--embedder", "small", "--dataset", "single", "--index", "ivf", *options]) == 0
    assert "embedded 1 images" in (said := capsys.readouterr().out) and "of the exact 10 nearest" not in said


def test_an_approximate_index_says_its_recall(
    options: list[str], context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    assert embed.main(["--embedder", "small", "--index", "hnsw", *options]) == 0
    assert "hnsw finds 100.0% of the exact 10 nearest" in capsys.readouterr().out
    row = newest_index(context)
    assert row.kind == "hnsw"
    with session.transaction(context.engine) as db:
        (metric,) = [one for one in runs.metrics(db, row.run_id) if one.name == "recall_at_10"]
    assert metric.value == 1.0
    assert search.main(["--case", "1", *options]) == 0


KILLED = """
import os, signal, sys
sys.path[:0] = [{here!r}]
import small_films as t
from engine.retrieval import embedders
from jobs import embed
from jobs.embeddings import vectors
vectors.SHARD = 4
seen = 0
def slow(wanted, sources):
    made = t.small_pixels(wanted, sources)
    features = made._features
    def counted(given):
        global seen
        seen += len(given)
        if seen > {limit}:
            os.kill(os.getpid(), signal.SIGKILL)
        return features(given)
    made._features = counted
    return made
embedders.REGISTRY["small"] = embedders.EmbedderSpec("small", slow, False, 64, "none", "public domain")
code = embed.main(["--embedder", "small", "--batch-size", "2", *{options!r}])
print("embedded", seen)
sys.exit(code)
"""


@pytest.mark.parametrize("asked", [[], ["--again"]])
def test_a_killed_embedding_goes_on_with_the_shards_it_has(
    asked: list[str], options: list[str], context: Context
) -> None:
    def start(limit: int) -> subprocess.CompletedProcess[str]:
        here = Path(__file__).parent
        code = KILLED.format(here=str(here), options=[*asked, *options], limit=limit)
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)

    assert start(limit=9).returncode == -9
    with session.transaction(context.engine) as db:
        run = db.scalars(select(Run).where(Run.kind == "embed")).one()
    shards = context.artifacts / "runs" / f"{run.id:04d}-embed" / "shards"
    _, second = sorted(shards.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    second.write_bytes(second.read_bytes()[:-8])  # torn
    assert rows(context, VectorIndex) == 0
    done = start(limit=1000)
    assert done.returncode == 0, done.stderr
    assert "embedded 8" in done.stdout  # the torn shard and the missing one
    assert rows(context, VectorIndex) == rows(context, Run) - 1 == 1  # one ingest run, one embed run
    row = newest_index(context)
    OpenIndex.open(context.artifacts / row.path, sha256=row.sha256)


def test_a_train_run_is_refused_where_there_is_none_and_where_the_embedder_uses_none(
    options: list[str], context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    for argv, expected in (
        (["--train-run", "99"], "run 99 is not a finished train run"),
        (["--embedder", "small", "--train-run", "1"], "embedder 'small' uses no train run; leave --train-run out"),
    ):
        assert embed.main([*argv, *options]) == 2
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
        assert expected in line and "leave --train-run out" in line
    assert rows(context, VectorIndex) == 0


def test_the_default_embedder_is_the_offline_one_until_a_classifier_is_trained(
    options: list[str], context: Context, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    used: list[Sources] = []

    def remembering(wanted: EmbedderSpec, sources: Sources) -> FeatureEmbedder:
        used.append(sources)
        return small_pixels(wanted, sources)

    for name in ("imagenet-lite0", "classifier"):
        light = dataclasses.replace(embedders.REGISTRY[name], load=remembering)
        monkeypatch.setitem(embedders.REGISTRY, name, light)
    assert embed.main(options) == 0
    assert (newest_index(context).embedder, used.pop().checkpoint) == ("imagenet-lite0", None)
    with session.transaction(context.engine) as db:
        dataset_id = db.scalars(select(Dataset.id)).one()
    with ActiveRun.claim(context, Work(kind="train", config={}, dataset_id=dataset_id)) as run:
        checkpoint = run.folder / "checkpoint"
        checkpoint.mkdir()
        (checkpoint / "model.json").write_text("{}")
        run.artifact("checkpoint", checkpoint)
    assert embed.main(options) == 0
    row = newest_index(context)
    assert (row.embedder, used.pop().checkpoint) == ("classifier", checkpoint)
    with session.transaction(context.engine) as db:
        assert db.get_one(Run, row.run_id).config["train_run"] == run.id
    (film := context.artifacts.parent / "film.png").write_bytes(png(pixels(98)))
    found = answer(options, capsys, "--image", str(film))
    assert (found["answered_by"].split(" (")[0], used.pop().checkpoint) == ("the index of classifier", checkpoint)


class Reads:
    """A classifier of brightness: a bright bottom is pneumonia, with heat where it is brightest."""

    revision, feature_dim, input_size, device = "2" * 64, 4, 24, "cpu"

    def run(self, pixels: NDArray[np.uint8], *, heatmaps: bool = False, autocast: None = None) -> Inference:
        below = pixels[:, 12:].mean(axis=(1, 2)) / 255
        features = np.stack([np.ones(len(pixels)), below, 1 - below, pixels.std(axis=(1, 2)) / 255], axis=1)
        heat = pixels.reshape(len(pixels), 6, 4, 6, 4).mean(axis=(2, 4)) / 255
        probability = (below > 0.4).astype(float)
        return Inference(probability, probability, features.astype(np.float32), heat.astype(np.float32))


@pytest.fixture
def _aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedder `aligned` of that classifier, with a minimum of three images per sentence."""

    def load(wanted: EmbedderSpec, _sources: Sources) -> AlignedEmbedder:
        return AlignedEmbedder(wanted.name, Reads.revision, Reads)  # type: ignore[arg-type]  # enough of a classifier

    changed = dataclasses.replace(embedders.REGISTRY["aligned"], learnt=False, load=load)
    monkeypatch.setitem(embedders.REGISTRY, "aligned", changed)
    monkeypatch.setattr(alignment, "FEWEST", 3)
    monkeypatch.setattr(caveats, "FEWEST", 3)
    monkeypatch.setattr(embed, "FEWEST", 3)


@pytest.mark.usefixtures("_aligned")
def test_a_cause_that_no_image_is_known_to_have_is_answered_with_a_caveat(
    options: list[str], context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    assert embed.main(["--embedder", "aligned", *options]) == 0
    assert not any("not taught" in note for note in answer(options, capsys, "--text", "viral pneumonia")["notes"])
    with session.transaction(context.engine) as db:
        db.execute(update(Image).values(cause=None))
    assert embed.main(["--embedder", "aligned", *options]) == 0
    notes = answer(options, capsys, "--text", "viral pneumonia")["notes"]
    assert any("this index was not taught viral pneumonia, which fewer than 3" in note for note in notes)
    assert not any("not taught" in note for note in answer(options, capsys, "--text", "pneumonia")["notes"])


@pytest.mark.usefixtures("_aligned")
def test_words_are_learnt_from_training_images_and_not_measured_on_them(options: list[str], context: Context) -> None:
    def words() -> NDArray[np.float32]:
        assert embed.main(["--embedder", "aligned", *options]) == 0
        found = opened(context).words
        assert found is not None
        return found

    def measured() -> bool:
        assert evaluate.main([*options, "--replicates", "100"]) == 0
        with session.transaction(context.engine) as db:
            run = runs.current(db, "evaluate")
            assert run is not None
            return any(metric.name.startswith("text_p_at") for metric in runs.metrics(db, run.id))

    first = words()
    assert measured()
    with session.transaction(context.engine) as db:
        db.execute(update(Image).where(Image.split == "test").values(label=1 - Image.label))
    np.testing.assert_array_equal(words(), first)
    with session.transaction(context.engine) as db:
        db.execute(update(Image).values(split="test"))
    assert np.abs(words() - first).max() > 1e-3
    assert not measured()


@pytest.mark.usefixtures("_aligned")
def test_words_find_images_and_follow_corrected_labels_without_embedding_anew(
    options: list[str], context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    assert embed.main(["--embedder", "aligned", *options]) == 0
    found = answer(options, capsys, "--text", "pneumonia", "--k", "4")
    assert {hit["label"] for hit in found["hits"]} == {"pneumonia"}
    assert {hit["label"] for hit in answer(options, capsys, "--text", "no pneumonia", "--k", "4")["hits"]} == {"normal"}
    assert any("cannot tell effusion" in note for note in answer(options, capsys, "--text", "effusion")["notes"])
    first = newest_index(context)
    assert embed.main(["--embedder", "aligned", *options]) == 0
    assert "already done" in capsys.readouterr().out
    with session.transaction(context.engine) as db:
        db.execute(update(Image).values(label=1 - Image.label))
    assert embed.main(["--embedder", "aligned", *options]) == 0
    assert "embedded 0 images" in capsys.readouterr().out
    second = newest_index(context)
    one, other = (OpenIndex.open(context.artifacts / row.path, sha256=row.sha256) for row in (first, second))
    np.testing.assert_array_equal(one.vectors, other.vectors)
    assert one.words is not None and other.words is not None
    assert np.abs(one.words - other.words).max() > 0.1
    for labels in ((None,) * COUNT, (0, 0, 1, 1, *(None,) * (COUNT - 4))):  # four labels, but not three of one
        with session.transaction(context.engine) as db:
            for image, label in zip(
                db.scalars(select(Image).order_by(Image.split.desc(), Image.id)), labels, strict=True
            ):
                image.label = label
        before = newest_index(context).id
        assert embed.main(["--embedder", "aligned", *options]) == 1
        assert "at least 3 training images of one label" in (said := capsys.readouterr().err)
        assert "use --embedder imagenet-lite0" in said and newest_index(context).id == before


@pytest.mark.usefixtures("_aligned")
def test_a_classifier_takes_its_vectors_from_aligned_and_embeds_what_that_lacks(
    options: list[str],
    context: Context,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = Reads()
    own = dataclasses.replace(
        embedders.REGISTRY["classifier"],
        learnt=False,
        load=lambda wanted, _: ClassifierEmbedder(wanted.name, read),  # type: ignore[arg-type]  # enough of a classifier
    )
    monkeypatch.setitem(embedders.REGISTRY, "classifier", own)
    assert embed.main(["--embedder", "aligned", *options]) == 0
    another(folder, options)
    capsys.readouterr()
    assert embed.main(["--embedder", "classifier", *options]) == 0
    assert "embedded 1 images with 'classifier' (4 dimensions)" in (said := capsys.readouterr().out)
    assert f"{COUNT} already had a vector" in said
    lent = opened(context)
    assert embed.main(["--embedder", "classifier", "--again", *options]) == 0
    assert f"embedded {COUNT + 1} images" in capsys.readouterr().out
    made = opened(context)
    np.testing.assert_array_equal(lent.ids, made.ids)
    np.testing.assert_allclose(lent.vectors, made.vectors, atol=1e-5)
    np.testing.assert_allclose(lent.centre, made.centre, atol=1e-6)
    read.revision = "3" * 64
    assert embed.main(["--embedder", "classifier", *options]) == 0
    assert f"embedded {COUNT + 1} images" in capsys.readouterr().out


def test_images_that_the_classifier_was_trained_on_are_seen_in_several_views_and_no_others(
    options: list[str], context: Context, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = MultiviewEmbedder("multiview", Reads())  # type: ignore[arg-type]  # enough of a classifier
    own = dataclasses.replace(embedders.REGISTRY["multiview"], load=lambda _wanted, _sources: read)
    monkeypatch.setitem(embedders.REGISTRY, "multiview", own)
    monkeypatch.setattr(vectors, "SHARD", 4)
    with session.transaction(context.engine) as db:
        images = {image.id: image for image in db.scalars(select(Image))}
    with ActiveRun.claim(context, Work(kind="train", config={}, dataset_id=images[1].dataset_id)) as run:
        (run.folder / "checkpoint").mkdir()
        run.artifact("checkpoint", run.folder / "checkpoint")
        learnt = {image.sha256 for image in images.values() if image.split == "train"}
        with session.transaction(context.engine) as db:
            db.add_all(TrainedOn(run_id=run.id, image_sha256=sha256) for sha256 in learnt)
    assert 0 < len(learnt) < COUNT
    assert embed.main(["--embedder", "multiview", "--batch-size", "3", *options]) == 0
    index = opened(context)
    raw = uncentred(index.vectors, index.centre)
    for number, vector in zip(index.ids, raw, strict=True):
        image = images[int(number)]
        plain = resize(np.asarray(Picture.open(folder / image.path)), 24)[None]
        expected = read.embed_images(plain)
        if image.sha256 in learnt:
            expected = read.embed_training(plain, [image.sha256])
            assert np.abs(expected - read.embed_images(plain)).max() > 1e-3
        np.testing.assert_allclose(vector, expected[0], atol=1e-5)
    another(folder, options)
    assert embed.main(["--embedder", "multiview", *options]) == 0
    later = opened(context)
    with session.transaction(context.engine) as db:
        assert (db.get_one(Run, newest_index(context).run_id).summary or {})["embedded"] == 1
    shared = later.rows(index.ids)
    np.testing.assert_allclose(uncentred(later.vectors[shared], later.centre), raw, atol=1e-5)
