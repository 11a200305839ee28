"""embed and search over small pictures, on both databases: exactly once, resumable, and honest about what answered."""

import csv
import dataclasses
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as Picture
from sqlalchemy import func, select
from tiny_models import tiny_clip

from db import session
from db.models import Dataset, Image, Prediction, Prompt, Report, Run, VectorIndex
from db.queries import runs
from db.queries import search as queries
from db.queries.cases import Question
from engine.images import resize
from engine.retrieval import embedders
from engine.retrieval.embedders import EmbedderSpec, FeatureEmbedder, Sources
from engine.retrieval.vector_index import VectorIndex as OpenIndex
from jobs import embed, ingest, search
from jobs.command import Context
from jobs.run import ActiveRun

COUNT = 12
"""Pictures: half of them pneumonia, every third of the test split."""
HOSTILE = ['"', "a AND", "NEAR(", "-x", "col:a", "a*", "'; --", "(|&!)", "\x00"]


def pixels(number: int) -> NDArray[np.uint8]:
    """Pneumonia (odd numbers) is bright below; no two pictures are the same."""
    grey = np.random.default_rng(number).integers(40, 90, (48, 48))
    grey[24:] += 100 * (number % 2)
    return grey.astype(np.uint8)


def png(picture: NDArray[np.uint8]) -> bytes:
    made = io.BytesIO()
    Picture.fromarray(picture).save(made, "PNG")
    return made.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data set in the Kaggle layout."""
    root = tmp_path / "films"
    for number in range(COUNT):
        split = "test" if number % 3 == 0 else "train"
        kind, name = (("NORMAL", f"IM-{number:04d}-0001"), ("PNEUMONIA", f"person{number}_virus_{number}"))[number % 2]
        path = root / split / kind / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(pixels(number)))
    return root


def small_pixels(wanted: EmbedderSpec, _sources: Sources) -> FeatureEmbedder:
    """An embedder that loads nothing: the picture itself, made small."""

    def features(given: NDArray[np.uint8]) -> NDArray[Any]:
        return np.stack([resize(picture, 8).ravel() - 127.5 for picture in given])

    return FeatureEmbedder(wanted.name, "1" * 64, 64, 32, features)


@pytest.fixture
def options(context: Context, folder: Path, job_options: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The common options; the dataset is ingested, and an embedder 'small' is registered by one line."""
    monkeypatch.setitem(
        embedders.REGISTRY, "small", EmbedderSpec("small", small_pixels, False, 64, "none", "public domain")
    )
    monkeypatch.setenv("PNEUMOSCOPE_MODELS", str(folder.parent / "models"))
    assert ingest.main([str(folder), "--name", "films", *job_options]) == 0
    return job_options


def rows(context: Context, model: type) -> int:
    with session.transaction(context.engine) as db:
        return db.scalar(select(func.count()).select_from(model)) or 0


def newest_index(context: Context) -> VectorIndex:
    with session.transaction(context.engine) as db:
        return db.scalars(select(VectorIndex).order_by(VectorIndex.id.desc())).first()


def answer(options: list[str], capsys: pytest.CaptureFixture[str], *asked: str) -> dict[str, Any]:
    capsys.readouterr()
    assert search.main([*asked, "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)


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


def test_a_new_picture_makes_a_new_index_and_a_damaged_one_is_built_again(
    options: list[str], context: Context, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert embed.main(["--embedder", "small", *options]) == 0
    first = newest_index(context)
    (context.artifacts / first.path / "vectors.npy").write_bytes(b"torn")
    assert search.main(["--case", "1", *options]) == 1
    assert "vectors.npy is not the file that was written" in capsys.readouterr().err
    assert embed.main(["--embedder", "small", *options]) == 0
    assert search.main(["--case", "1", *options]) == 0
    (folder / "train" / "NORMAL" / "IM-0099-0001.png").write_bytes(png(pixels(98)))
    assert ingest.main([str(folder), "--name", "films", *options]) == 0
    assert embed.main(["--embedder", "small", *options]) == 0
    assert newest_index(context).count == COUNT + 1


def test_only_new_pictures_are_embedded_and_those_that_are_gone_disappear(
    options: list[str],
    context: Context,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[int] = []
    real = embed.embed_files

    def counted(embedder: Any, paths: Any, **rest: Any) -> Any:
        seen.append(len(paths))
        return real(embedder, paths, **rest)

    monkeypatch.setattr(embed, "embed_files", counted)
    assert embed.main(["--embedder", "small", *options]) == 0
    first = OpenIndex.open(context.artifacts / newest_index(context).path)
    with session.transaction(context.engine) as db:
        gone = db.get_one(Image, int(first.ids[3]))
        (folder / gone.path).unlink()
        db.delete(gone)
    (folder / "train" / "NORMAL" / "IM-0099-0001.png").write_bytes(png(pixels(98)))
    assert ingest.main([str(folder), "--name", "films", *options]) == 0
    capsys.readouterr()
    assert embed.main(["--embedder", "small", *options]) == 0
    assert seen == [COUNT, 1]
    second = OpenIndex.open(context.artifacts / newest_index(context).path)
    with session.transaction(context.engine) as db:
        now = {image.id: image.path for image in db.scalars(select(Image))}
    assert sorted(second.ids) == sorted(now)
    shared = sorted(set(first.ids) & set(second.ids))
    np.testing.assert_array_equal(first.vectors[first.rows(shared)], second.vectors[second.rows(shared)])
    there = len(shared)
    assert "embedded 1 images with 'small' (64 dimensions)" in (said := capsys.readouterr().out)
    assert f"{there} were there already" in said
    assert embed.main(["--embedder", "small", "--anew", *options]) == 0
    assert seen == [COUNT, 1, len(now)]


def test_where_the_newest_index_is_damaged_the_last_good_one_answers(
    options: list[str], context: Context, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert embed.main(["--embedder", "small", *options]) == 0
    good = newest_index(context)
    (folder / "train" / "NORMAL" / "IM-0099-0001.png").write_bytes(png(pixels(98)))
    assert ingest.main([str(folder), "--name", "films", *options]) == 0
    assert embed.main(["--embedder", "small", *options]) == 0
    (context.artifacts / newest_index(context).path / "ids.npy").write_bytes(b"torn")
    capsys.readouterr()
    assert search.main(["--case", "1", "--json", *options]) == 0
    said = capsys.readouterr()
    assert "ids.npy is not the file that was written" in said.err
    assert f"the index of run {good.run_id} answers instead" in said.err
    assert len(json.loads(said.out)["hits"]) == 5


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
sys.path[:0] = [{tests!r}, {here!r}]
import test_embed_search as t
from engine.retrieval import embedders
from jobs import embed
embed.SHARD = 4
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


def test_a_killed_embedding_goes_on_with_the_shards_it_has(options: list[str], context: Context) -> None:
    def start(limit: int) -> subprocess.CompletedProcess[str]:
        here = Path(__file__).parent
        code = KILLED.format(tests=str(here.parent), here=str(here), options=options, limit=limit)
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)

    assert start(limit=9).returncode == -9
    with session.transaction(context.engine) as db:
        run = db.scalars(select(Run).where(Run.kind == "embed")).one()
    shards = context.artifacts / "runs" / f"{run.id:04d}-embed" / "shards"
    assert sorted(path.name for path in shards.iterdir()) == ["00000000.npy", "00000004.npy"]
    (shards / "00000004.npy").write_bytes((shards / "00000004.npy").read_bytes()[:-8])  # and one of them torn
    assert rows(context, VectorIndex) == 0
    done = start(limit=1000)
    assert done.returncode == 0, done.stderr
    assert "embedded 8" in done.stdout  # the torn shard and the missing one
    assert rows(context, VectorIndex) == rows(context, Run) - 1 == 1  # one ingest run, one embed run
    row = newest_index(context)
    OpenIndex.open(context.artifacts / row.path, sha256=row.sha256)


def test_search_by_case_never_returns_the_case_and_finds_its_kind(
    options: list[str], context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    assert embed.main(["--embedder", "small", *options]) == 0
    with session.transaction(context.engine) as db:
        images = {image.id: image for image in db.scalars(select(Image))}
    for number, image in images.items():
        found = answer(options, capsys, "--case", str(number), "--k", "5")
        cases = [hit["case"] for hit in found["hits"]]
        assert len(set(cases)) == 5
        assert number not in cases
        assert {hit["label"] for hit in found["hits"]} == {"pneumonia" if image.label else "normal"}
        assert found["vote"] == {"pneumonia": 5 * (image.label or 0), "known": 5, "share": float(image.label or 0)}
        similarities = [hit["similarity"] for hit in found["hits"]]
        assert similarities == sorted(similarities, reverse=True)
    everything = answer(options, capsys, "--case", str(number), "--k", "100")
    assert len(everything["hits"]) == COUNT - 1
    assert answer(options, capsys, "--case", str(number), "--k", "1000000000000") == everything


def test_a_train_run_is_refused_where_there_is_none_and_where_the_embedder_uses_none(
    options: list[str], context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    for argv, expected in (
        (["--train-run", "99"], "run 99 is no finished train run"),
        (["--embedder", "small", "--run", "1"], "embedder 'small' uses no train run; leave --train-run out"),
    ):
        assert embed.main([*argv, *options]) == 2
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
        assert expected in line and "leave --train-run out" in line
    assert rows(context, VectorIndex) == 0


def test_search_by_a_picture_leaves_out_the_same_file_but_not_a_changed_one(
    options: list[str], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert embed.main(["--embedder", "small", *options]) == 0
    inside = folder / "train" / "PNEUMONIA" / "person1_virus_1.png"
    found = answer(options, capsys, "--image", str(inside))
    assert all(hit["path"] != "train/PNEUMONIA/person1_virus_1.png" for hit in found["hits"])
    assert "it is left out" in found["notes"][0]
    changed = tmp_path / "changed.png"
    picture = pixels(1)
    picture[0, 0] += 1
    changed.write_bytes(png(picture))
    found = answer(options, capsys, "--image", str(changed))
    assert found["hits"][0]["path"] == "train/PNEUMONIA/person1_virus_1.png"
    assert found["hits"][0]["similarity"] > 0.999
    assert found["notes"] == []


def test_filters_leave_k_hits_where_k_exist(
    options: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert embed.main(["--embedder", "small", *options]) == 0
    inside = folder / "train" / "PNEUMONIA" / "person1_virus_1.png"
    found = answer(options, capsys, "--image", str(inside), "--k", "2", "--split", "test", "--label", "normal")
    assert [(hit["split"], hit["label"]) for hit in found["hits"]] == [("test", "normal")] * 2
    assert answer(options, capsys, "--image", str(inside), "--label", "unknown")["hits"] == []
    assert search.main(["--image", str(inside), "--split", "test", *options]) == 0
    printed = capsys.readouterr().out
    assert "answered by the index of small" in printed
    assert "2 of 4 with a known label are pneumonia" in printed


def test_bad_use_is_one_line_and_an_exit_code(
    options: list[str], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a picture")
    torn = tmp_path / "torn.png"
    torn.write_bytes(png(pixels(1))[:-200])

    def refused(job: Any, code: int, expected: str, *asked: str) -> None:
        capsys.readouterr()
        assert job.main([*asked, *options]) == code
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert expected in line

    refused(search, 1, "build one with: python -m jobs embed", "--case", "1")
    refused(search, 1, "has no reports to search; write some with: python -m jobs report", "--text", "effusion")
    refused(embed, 2, "embedder 'clop' is unknown; known: imagenet-lite0, classifier", "--embedder", "clop")
    refused(embed, 2, "run 77 is no finished train run", "--run", "77")
    refused(embed, 1, "python -m jobs train", "--embedder", "classifier")
    refused(embed, 2, "--batch-size is 0", "--batch-size", "0")
    assert embed.main(["--embedder", "small", *options]) == 0
    refused(search, 1, "notes.txt cannot be used: neither an image nor DICOM", "--image", str(text))
    refused(search, 1, "torn.png cannot be used", "--image", str(torn))
    refused(search, 1, "cannot be read (No such file", "--image", str(tmp_path / "absent.png"))
    refused(search, 2, "case 4711 is not in the index", "--case", "4711")
    refused(search, 2, "no index of embedder 'clip'; it has: small", "--case", "1", "--embedder", "clip")
    refused(search, 1, "embedder 'small' reads no text; embed with clip", "--text", "a", "--embedder", "small")
    refused(search, 2, "--k is 0", "--case", "1", "--k", "0")
    shutil.rmtree(folder / "test")
    assert embed.main(["--embedder", "imagenet-lite0", *options]) == 1
    assert "cannot be read (No such file or directory)" in capsys.readouterr().err
    assert search.main(["--k", "3", *options]) == 2


def test_an_index_made_with_other_weights_is_not_asked(
    options: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert embed.main(["--embedder", "small", *options]) == 0

    def changed(wanted: EmbedderSpec, sources: Sources) -> FeatureEmbedder:
        made = small_pixels(wanted, sources)
        made.revision = "2" * 16
        return made

    monkeypatch.setitem(embedders.REGISTRY, "small", EmbedderSpec("small", changed, False, 64, "none", "public domain"))
    inside = folder / "train" / "PNEUMONIA" / "person1_virus_1.png"
    assert search.main(["--image", str(inside), *options]) == 1
    assert "was made with weights 1111111111111111, but 2222222222222222 are here" in capsys.readouterr().err


def write_reports(context: Context) -> None:
    """Two reports an image, of which those on pneumonia speak of an opacity."""
    with session.transaction(context.engine) as db:
        dataset = db.scalars(select(Dataset)).one()
        run = Run(kind="report", fingerprint="r", config={}, code_version="", status="finished", host="h", pid=1)
        run.dataset_id, run.seconds = dataset.id, 0.0
        db.add_all([run, Prompt(sha256="p", strategy="basic", text="Describe.")])
        db.flush()
        for image in db.scalars(select(Image)).all():
            for revision, more in (("1", "."), ("2", ", with air bronchograms.")):
                found = f"Opacities in the right lower zone{more}" if image.label else "The lungs are clear."
                db.add(
                    Report(
                        run_id=run.id,
                        image_id=image.id,
                        image_sha256=image.sha256,
                        model="template",
                        revision=revision,
                        strategy="basic",
                        prompt_sha256="p",
                        settings={},
                        settings_sha256="s",
                        text=f"FINDINGS: {found}\nIMPRESSION: case.",
                        seconds=0.0,
                        tokens=1,
                    )
                )


def test_text_without_an_index_that_reads_it_is_answered_by_reports_and_says_so(
    options: list[str], context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    assert embed.main(["--embedder", "small", *options]) == 0
    write_reports(context)
    found = answer(options, capsys, "--text", "opacity bronchograms", "--k", "100")
    assert found["answered_by"].startswith("the words of generated reports (full-text search; what denies them")
    assert found["notes"] == [
        "to search the pictures themselves by text: python -m jobs fetch_models biomedclip, then python -m jobs embed"
        " --embedder biomedclip"
    ]
    assert len(found["hits"]) == len({hit["case"] for hit in found["hits"]}) == COUNT // 2
    assert {hit["label"] for hit in found["hits"]} == {"pneumonia"}
    assert all("«bronchograms»" in hit["snippet"] for hit in found["hits"])  # the better of each image's two
    few = answer(options, capsys, "--text", "opacities", "--k", "2", "--split", "test")
    assert [hit["split"] for hit in few["hits"]] == ["test", "test"]
    assert answer(options, capsys, "--text", "opacities", "--label", "normal")["hits"] == []
    assert answer(options, capsys, "--text", "zebra")["hits"] == []
    assert search.main(["--text", "clear lung", *options]) == 0
    assert "«lungs» are «clear»" in capsys.readouterr().out


def test_hits_are_narrowed_to_a_cause_an_outcome_and_other_patients_and_k_still_come_back(
    options: list[str], context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    assert embed.main(["--embedder", "small", *options]) == 0
    with session.transaction(context.engine) as db:
        images = {image.id: image for image in db.scalars(select(Image))}
        for image in images.values():
            image.patient_key = f"p{image.id % 4}"
        dataset = db.scalars(select(Dataset)).first()
        assert dataset is not None
        run = Run(kind="predict", fingerprint="p" * 64, config={}, code_version="t", status="finished", pid=1)
        run.host, run.dataset_id, run.summary = "t", dataset.id, {"threshold": 0.5}
        db.add(run)
        db.flush()
        db.add_all(Prediction(run_id=run.id, image_id=n, logit=0.0, probability=0.9) for n in images)
    found = answer(options, capsys, "--case", "1", "--k", "99", "--cause", "viral")["hits"]
    assert {hit["cause"] for hit in found} == {"viral"} and len(found) == COUNT // 2 - (images[1].cause == "viral")
    wrong = answer(options, capsys, "--case", "1", "--k", "99", "--outcome", "FP")["hits"]
    assert {hit["label"] for hit in wrong} == {"normal"}
    assert not answer(options, capsys, "--case", "1", "--outcome", "FN")["hits"]
    others = answer(options, capsys, "--case", "1", "--k", "3", "--exclude-same-patient")["hits"]
    assert len(others) == 3 and {images[hit["case"]].patient_key for hit in others} <= {"p0", "p2", "p3"}
    every = answer(options, capsys, "--case", "1", "--k", "99", "--exclude-same-patient")["hits"]
    assert len(every) == sum(image.patient_key != "p1" for image in images.values())
    assert search.main(["--case", "1", "--cause", "fungal", *options]) == 2
    assert "cause 'fungal' is unknown; dataset 'films' has: viral, unknown" in capsys.readouterr().err


def test_hits_leave_as_csv_and_as_a_picture(
    options: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, folder: Path
) -> None:
    assert embed.main(["--embedder", "small", *options]) == 0
    hits = answer(options, capsys, "--case", "1", "--k", "3")["hits"]
    assert search.main(["--case", "1", "--k", "3", "--csv", *options]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(int(line["rank"]), int(line["case"]), line["path"]) for line in lines] == [
        (hit["rank"], hit["case"], hit["path"]) for hit in hits
    ]
    file = next(folder.rglob("person1_*.png"))
    for number, query in enumerate((["--case", "1"], ["--image", str(file)])):
        target = tmp_path / "made" / f"{number}.png"
        assert search.main([*query, "--k", "3", "--grid", str(target), *options]) == 0
        assert Picture.open(target).size[0] > 3 * 224
    assert search.main(["--text", "x", "--grid", "a.png", *options]) == 2
    assert "give it with --image or --case" in capsys.readouterr().err


def test_a_picture_unlike_all_others_is_answered_with_a_warning(
    options: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.retrieval.vector_index.FEWEST_TO_KNOW", 5)
    assert embed.main(["--embedder", "small", *options]) == 0
    strange, film = tmp_path / "strange.png", tmp_path / "film.png"
    strange.write_bytes(png(np.where(np.indices((48, 48)).sum(0) // 6 % 2, 255, 0).astype(np.uint8)))
    film.write_bytes(png(np.clip(pixels(5).astype(int) + 1, 0, 255).astype(np.uint8)))
    notes = [" ".join(answer(options, capsys, "--image", str(file))["notes"]) for file in (strange, film)]
    assert "it may be no chest radiograph" in notes[0] and "radiograph" not in notes[1]


def test_outcomes_need_predictions(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert embed.main(["--embedder", "small", *options]) == 0
    assert search.main(["--case", "1", "--outcome", "FP", *options]) == 1
    assert "outcomes need a predict run with a threshold: python -m jobs predict" in capsys.readouterr().err


def test_words_that_a_report_denies_do_not_find_it(
    options: list[str], context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    assert embed.main(["--embedder", "small", *options]) == 0
    write_reports(context)
    with session.transaction(context.engine) as db:
        row = db.scalars(select(Report).order_by(Report.id)).first()
        assert row is not None
        row.text, denied = "No effusion. The opacity is gone.", row.image_id
    assert answer(options, capsys, "--text", "effusion")["hits"] == []
    assert [hit["case"] for hit in answer(options, capsys, "--text", "no effusion")["hits"]] == [denied]


def test_text_is_answered_by_an_index_that_reads_it_and_says_how_to_ask_the_reports(
    options: list[str], context: Context, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_clip(tmp_path / "models" / "clip")
    assert embed.main(["--embedder", "clip", *options]) == 0
    assert embed.main(["--embedder", "small", *options]) == 0
    write_reports(context)
    found = answer(options, capsys, "--text", "opacities", "--k", "3")
    assert found["answered_by"].startswith("the index of clip")
    assert found["notes"] == ["to search the reports' words, add --reports"]
    assert len(found["hits"]) == 3
    by_words = answer(options, capsys, "--text", "opacities", "--k", "3", "--reports")
    assert by_words["answered_by"].startswith("the words of generated reports")
    (tmp_path / "models").rename(tmp_path / "gone")
    without = answer(options, capsys, "--text", "opacities", "--k", "3")
    assert without["answered_by"].startswith("the words of generated reports")
    assert "python -m jobs fetch_models clip" in without["notes"][0]


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
    with ActiveRun.claim(context, kind="train", config={}, dataset_id=dataset_id) as run:
        checkpoint = run.folder / "checkpoint"
        checkpoint.mkdir()
        (checkpoint / "model.json").write_text("{}")
        run.artifact("checkpoint", checkpoint)
    assert embed.main(options) == 0
    row = newest_index(context)
    assert (row.embedder, used.pop().checkpoint) == ("classifier", checkpoint)
    with session.transaction(context.engine) as db:
        assert db.get_one(Run, row.run_id).config["train_run"] == run.id
    inside = context.artifacts.parent / "films" / "train" / "PNEUMONIA" / "person1_virus_1.png"
    found = answer(options, capsys, "--image", str(inside))
    assert (found["answered_by"].split(" (")[0], used.pop().checkpoint) == ("the index of classifier", checkpoint)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    typed=st.text(max_size=60) | st.sampled_from(['"', "a AND", "NEAR(", "-x", "col:a", "a*", "'; --", "(|&!)", "\x00"])
)
def test_whatever_is_typed_is_no_error_of_the_database(options: list[str], context: Context, typed: str) -> None:
    if rows(context, Report) == 0:
        write_reports(context)
    with session.transaction(context.engine) as db:
        dataset_id = db.scalars(select(Dataset.id)).one()
        hits = queries.reports(db, Question(dataset_id), f"{typed} opacities {typed}", limit=3)
        queries.reports(db, Question(dataset_id), typed, limit=3)
    assert len(hits) == 3
    assert len({hit.image.id for hit in hits}) == 3


def test_reports_of_another_dataset_with_the_same_pictures_are_found_there(
    options: list[str], context: Context, folder: Path, tmp_path: Path
) -> None:
    write_reports(context)
    shutil.copytree(folder, tmp_path / "copy")
    assert ingest.main([str(tmp_path / "copy"), "--name", "copy", *options]) == 0
    with session.transaction(context.engine) as db:
        other = db.scalars(select(Dataset).where(Dataset.name == "copy")).one()
        hits = queries.reports(db, Question(other.id), "opacity", limit=50)
        assert {hit.image.dataset_id for hit in hits} == {other.id}
    assert len(hits) == COUNT // 2
