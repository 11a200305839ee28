"""search by an image or a case: what is found, what is left out, and what is said about the query."""

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Picture
from sqlalchemy import select

from db import session, tallies, writes
from db.models import Dataset, Image, Prediction, Report, Run
from db.queries import search as queries
from db.queries.cases import Question
from engine.retrieval import embedders
from engine.retrieval.embedders import EmbedderSpec
from engine.retrieval.embedders.features import FeatureEmbedder
from engine.retrieval.embedders.protocol import Sources
from jobs import embed, ingest, search
from jobs.command import Context
from jobs.searches.search import Search
from tests.jobs.retrieval.small_films import COUNT, answer, newest_index, pixels, png, rows, small_pixels, write_reports
from tests.tiny_models import tiny_clip


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
    assert "ids.npy is not the file that was written; build it again with: " in said.err
    assert "python -m jobs embed --dataset films --embedder small;" in said.err
    assert f"using the earlier index of run {good.run_id}" in said.err
    found = json.loads(said.out)
    assert len(found["hits"]) == 5
    assert found["answered_by"].startswith(f"the index of small (run {good.run_id}, {COUNT} images)")


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
    assert answer(options, capsys, "--case", str(number), "--k", "1000000") == everything


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


def test_a_picture_of_the_dataset_is_searched_with_its_stored_vector(
    options: list[str],
    folder: Path,
    context: Context,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert embed.main(["--embedder", "small", *options]) == 0
    by_case = answer(options, capsys, "--case", "1")
    with session.reading(context.engine) as db:
        inside = folder / db.get_one(Image, 1).path
    monkeypatch.setattr(Search, "model", lambda *_: pytest.fail("the vector is known"))
    by_image = answer(options, capsys, "--image", str(inside))
    assert by_image["hits"] == by_case["hits"] and len(by_image["notes"]) == 1


def test_filters_leave_k_hits_where_k_exist(
    options: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert embed.main(["--embedder", "small", *options]) == 0
    inside = folder / "train" / "PNEUMONIA" / "person1_virus_1.png"
    found = answer(options, capsys, "--image", str(inside), "--k", "2", "--split", "test", "--label", "normal")
    assert [(hit["split"], hit["label"]) for hit in found["hits"]] == [("test", "normal")] * 2
    written = answer(options, capsys, "--image", str(inside), "--k", "2", "--split", "test", "--label", "NORMAL")
    assert written == found
    assert len(found["notes"]) == 1
    nothing = answer(options, capsys, "--image", str(inside), "--label", "unknown")
    assert nothing["hits"] == []
    assert nothing["notes"][1:] == ["only 0 cases match"]
    assert search.main(["--image", str(inside), "--split", "test", *options]) == 0
    printed = capsys.readouterr().out
    assert "answered by the index of small" in printed
    assert "2 of 4 labelled hits are pneumonia" in printed
    assert search.main(["--image", str(inside), "--label", "normal", *options]) == 0
    assert "with a known label" not in capsys.readouterr().out


def test_bad_use_is_one_line_and_an_exit_code(
    context: Context, options: list[str], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
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
    refused(
        search, 1, "has no notes or reports to search; write reports with: python -m jobs report", "--text", "effusion"
    )
    refused(embed, 2, "embedder 'clop' is unknown; known: imagenet-lite0, resnet50, classifier", "--embedder", "clop")
    refused(embed, 2, "run 77 is not a finished train run", "--train-run", "77")
    refused(embed, 1, "python -m jobs train", "--embedder", "classifier")
    assert embed.main(["--embedder", "small", *options]) == 0
    refused(search, 1, "notes.txt cannot be used: neither an image nor DICOM", "--image", str(text))
    refused(search, 1, "torn.png cannot be used", "--image", str(torn))
    refused(search, 1, "cannot be read (No such file or directory); check", "--image", str(tmp_path / "absent.png"))
    refused(search, 2, "there is no case 4711", "--case", "4711")
    with session.transaction(context.engine) as db:
        writes.forget_images(db, [1])
    refused(search, 2, "there is no case 1;", "--case", "1", "--exclude-same-patient")
    refused(search, 2, "no index of embedder 'clip'; it has: small", "--case", "1", "--embedder", "clip")
    refused(search, 1, "embedder 'small' reads no text; embed with aligned, clip", "--text", "a", "--embedder", "small")
    refused(search, 2, "--text is empty", "--text", "  ")
    refused(search, 2, "a --text query has no patient", "--text", "a", "--exclude-same-patient")
    shutil.rmtree(folder / "test")
    assert embed.main(["--embedder", "imagenet-lite0", *options]) == 1
    assert "cannot be read (No such file or directory)" in capsys.readouterr().err
    assert search.main(["--k", "3", *options]) == 2


def test_an_index_made_with_other_weights_is_not_asked(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert embed.main(["--embedder", "small", *options]) == 0

    def changed(wanted: EmbedderSpec, sources: Sources) -> FeatureEmbedder:
        made = small_pixels(wanted, sources)
        made.revision = "2" * 16
        return made

    monkeypatch.setitem(embedders.REGISTRY, "small", EmbedderSpec("small", changed, False, 64, "none", "public domain"))
    (film := tmp_path / "film.png").write_bytes(png(np.clip(pixels(5).astype(int) + 1, 0, 255).astype(np.uint8)))
    assert search.main(["--image", str(film), *options]) == 1
    assert (
        "was made with other weights, or from pictures prepared otherwise: revision 1111111111111111, but 2222222222"
        in capsys.readouterr().err
    )


def test_a_query_is_embedded_with_the_weights_that_embed_was_given(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_clip(tmp_path / "elsewhere")
    weights = ["--weights", str(tmp_path / "elsewhere")]
    assert embed.main(["--embedder", "clip", *weights, *options]) == 0
    (film := tmp_path / "film.png").write_bytes(png(255 - pixels(5)))
    told = answer(options, capsys, "--image", str(film), *weights)
    assert answer(options, capsys, "--image", str(film)) == told and len(told["hits"]) == 5
    assert len(answer(options, capsys, "--text", "pneumonia")["hits"]) == 5
    (tmp_path / "models").mkdir()
    (tmp_path / "elsewhere").rename(tmp_path / "models" / "clip")  # moved to the embedder's own place
    assert answer(options, capsys, "--image", str(film)) == told
    (tmp_path / "models" / "clip").rename(tmp_path / "lost")
    gone = f"embed was given {tmp_path / 'elsewhere'}, which is no longer there: name it again with --weights"
    for job, asked in ((search, ["--image", str(film)]), (embed, ["--embedder", "clip", "--again"])):
        assert job.main([*asked, *options]) == 1
        said = capsys.readouterr().err
        assert "fetch_models clip" in said and gone in said
    (tmp_path / "lost").rename(tmp_path / "elsewhere")
    assert embed.main(["--embedder", "clip", "--again", *options]) == 0
    assert f"note: embedding with {tmp_path / 'elsewhere'}, as before" in capsys.readouterr().out
    assert answer(options, capsys, "--image", str(film))["hits"] == told["hits"]


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
        made = {"code_version": "t", "status": "finished", "pid": 1, "host": "t", "dataset_id": dataset.id}
        trained = Run(kind="train", fingerprint="t" * 64, config={}, summary={"threshold": 0.2}, **made)
        db.add(trained)
        db.flush()
        run = Run(kind="predict", fingerprint="p" * 64, config={"train_run": trained.id}, **made)
        run.summary = {"threshold": 0.5}
        db.add(run)
        db.flush()
        scored = [number for number, image in images.items() if not (image.label and number % 3 == 0)]
        held_out = sorted(images.keys() - set(scored))
        db.add_all(Prediction(run_id=run.id, image_id=n, logit=0.0, probability=0.9) for n in scored)
        db.add_all(Prediction(run_id=trained.id, image_id=n, fold=0, logit=0.0, probability=0.3) for n in images)
        db.flush()
        tallies.predictions(db, run)
        tallies.predictions(db, trained)
    found = answer(options, capsys, "--case", "1", "--k", "99", "--cause", "viral")["hits"]
    assert {hit["cause"] for hit in found} == {"viral"} and len(found) == COUNT // 2 - (images[1].cause == "viral")
    wrong = answer(options, capsys, "--case", "1", "--k", "99", "--outcome", "FP")["hits"]
    assert {hit["label"] for hit in wrong} == {"normal"}
    missed = answer(options, capsys, "--case", "1", "--k", "99", "--outcome", "FN")["hits"]
    assert sorted(hit["case"] for hit in missed) == [number for number in held_out if number != 1]
    write_reports(context)  # of every image: the same outcomes when texts are searched
    told = answer(options, capsys, "--text", "opacity", "--reports", "--k", "99", "--outcome", "FN")["hits"]
    assert sorted(hit["case"] for hit in told) == held_out
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
    for name in (tmp_path, tmp_path / "hits.jpg"):
        assert search.main(["--case", "1", "--grid", str(name), *options]) == 2
        assert f"--grid {name} is not the name of a PNG file" in capsys.readouterr().err
    name = file / "below" / "hits.png"  # not a folder, even for a user who may write anywhere
    assert search.main(["--case", "1", "--grid", str(name), *options]) == 1
    assert f"--grid {name} cannot be written (Not a directory); choose another file" in capsys.readouterr().err


def test_hits_are_narrowed_to_a_subgroup_and_one_that_is_not_there_is_named(
    options: list[str], context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    assert embed.main(["--embedder", "small", *options]) == 0
    with session.transaction(context.engine) as db:
        dataset = db.scalars(select(Dataset)).one()
        numbers = list(db.scalars(select(Image.id)))
        writes.attributes(db, {n: {"sex": ("female", "male")[n % 2], "view": "AP"} for n in numbers if n % 5})
        tallies.dataset(db, dataset.id)
    females = [
        hit["case"] for hit in answer(options, capsys, *SUBGROUP, "sex=female", "--attribute", "view=AP")["hits"]
    ]
    assert sorted(females) == [n for n in numbers if n % 2 == 0 and n % 5]
    unknown = [hit["case"] for hit in answer(options, capsys, *SUBGROUP, "sex=unknown")["hits"]]
    assert sorted(unknown) == [n for n in numbers if n % 5 == 0]
    for asked, line in (
        ("sex=tall", "sex 'tall' is unknown; dataset 'films' has: female, male, unknown"),
        ("age=2", "attribute 'age' is unknown; dataset 'films' has: "),
        ("sex", "'sex' is not NAME=VALUE, such as sex=female"),
    ):
        assert search.main([*SUBGROUP, asked, *options]) == 2
        assert line in capsys.readouterr().err


SUBGROUP = ("--case", "1", "--k", "99", "--attribute")


def test_a_hit_whose_file_is_another_by_now_is_not_drawn_under_its_label(
    options: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, folder: Path
) -> None:
    assert embed.main(["--embedder", "small", *options]) == 0
    (hit,) = answer(options, capsys, "--case", "1", "--k", "1")["hits"]
    (folder / hit["path"]).write_bytes(png(pixels(99)))
    target = tmp_path / "hits.png"
    assert search.main(["--case", "1", "--k", "1", "--grid", str(target), *options]) == 1
    assert f"{hit['path']} changed since it was ingested" in capsys.readouterr().err
    assert not target.exists()


def test_a_picture_unlike_all_others_is_answered_with_a_warning(
    options: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.retrieval.index.vector_index.FEWEST_TO_KNOW", 5)
    assert embed.main(["--embedder", "small", *options]) == 0
    strange, film = tmp_path / "strange.png", tmp_path / "film.png"
    strange.write_bytes(png(np.where(np.indices((48, 48)).sum(0) // 6 % 2, 255, 0).astype(np.uint8)))
    film.write_bytes(png(np.clip(pixels(5).astype(int) + 1, 0, 255).astype(np.uint8)))
    notes = [" ".join(answer(options, capsys, "--image", str(file))["notes"]) for file in (strange, film)]
    assert "it may be no chest radiograph" in notes[0] and "radiograph" not in notes[1]
    assert search.main(["--image", str(strange), "--csv", *options]) == 0
    said = capsys.readouterr()
    assert "note: the picture is less like its 3 nearest images" in said.err and "note" not in said.out


def test_a_picture_that_lies_upside_down_is_answered_with_a_hint(
    options: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.retrieval.index.vector_index.FEWEST_TO_KNOW", 5)
    assert embed.main(["--embedder", "small", *options]) == 0
    for name, picture in (("turned", pixels(5)[::-1, ::-1]), ("upright", pixels(5))):
        (tmp_path / f"{name}.png").write_bytes(png(np.clip(picture.astype(int) + 1, 0, 255).astype(np.uint8)))
    turned, upright = (answer(options, capsys, "--image", str(tmp_path / f"{n}.png")) for n in ("turned", "upright"))
    (hint,) = [note for note in turned["notes"] if "seems to be" in note]
    assert hint.startswith("the image seems to be upside down: turned by 180 degrees, it would be more like")
    assert hint.endswith("; to search so, add --undo upside-down") and upright["notes"] == []
    target = tmp_path / "hits.png"
    asked = ("--image", str(tmp_path / "turned.png"), "--undo", "upside-down", "--grid", str(target))
    assert answer(options, capsys, *asked) == upright and target.is_file()
    assert search.main(["--case", "1", "--undo", "left", *options]) == 2
    assert "--undo is for --image; leave it out" in capsys.readouterr().err


def test_an_image_of_the_dataset_is_searched_anew_where_something_is_undone(
    options: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert embed.main(["--embedder", "small", *options]) == 0
    inside = ("--image", str(folder / "train" / "PNEUMONIA" / "person1_virus_1.png"), "--k", "99")
    plain, inverted = answer(options, capsys, *inside), answer(options, capsys, *inside, "--undo", "inverted")
    assert "it is left out" in inverted["notes"][0] and len(inverted["hits"]) == COUNT - 1
    assert inverted["hits"] != plain["hits"]


def test_what_was_removed_from_the_dataset_makes_no_query_familiar(
    options: list[str],
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("engine.retrieval.index.vector_index.FEWEST_TO_KNOW", 5)
    assert embed.main(["--embedder", "small", *options]) == 0
    (film := tmp_path / "film.png").write_bytes(png(np.clip(pixels(5)[::-1].astype(int) + 1, 0, 255).astype(np.uint8)))
    assert any("seems to be" in note for note in answer(options, capsys, "--image", str(film))["notes"])
    for file in folder.glob("*/PNEUMONIA/*.png"):
        file.unlink()
    assert ingest.main([str(folder), "--name", "films", "--prune", *options]) == 0
    assert not any("seems to be" in note for note in answer(options, capsys, "--image", str(film))["notes"])


def test_a_picture_of_no_known_patient_leaves_nobody_out_and_says_so(
    options: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, folder: Path
) -> None:
    assert embed.main(["--embedder", "small", *options]) == 0
    film = tmp_path / "film.png"
    film.write_bytes(png(np.clip(pixels(5).astype(int) + 1, 0, 255).astype(np.uint8)))
    asked = ("--exclude-same-patient", "--image")
    assert "its patient is unknown" in answer(options, capsys, *asked, str(film))["notes"][0]
    (known,) = answer(options, capsys, *asked, str(next(folder.rglob("person1_*.png"))))["notes"]
    assert known.endswith("it is left out")


def test_outcomes_need_predictions(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert embed.main(["--embedder", "small", *options]) == 0
    assert search.main(["--case", "1", "--outcome", "FP", *options]) == 1
    assert (
        "--outcome needs a predict run, and dataset 'films' has none; make one with: python -m jobs predict"
        in capsys.readouterr().err
    )


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    typed=st.text(max_size=60) | st.sampled_from(['"', "a AND", "NEAR(", "-x", "col:a", "a*", "'; --", "(|&!)", "\x00"])
)
def test_whatever_is_typed_is_no_error_of_the_database(options: list[str], context: Context, typed: str) -> None:
    if rows(context, Report) == 0:
        write_reports(context)
    with session.transaction(context.engine) as db:
        dataset_id = db.scalars(select(Dataset.id)).one()
        hits = queries.texts(db, Question(dataset_id), f"{typed} opacities {typed}", limit=3).hits
        queries.texts(db, Question(dataset_id), typed, limit=3)
    assert len(hits) == 3
    assert len({hit.image.id for hit in hits}) == 3


def test_a_case_that_the_index_lacks_is_told_why(
    options: list[str], context: Context, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert embed.main(["--embedder", "small", *options]) == 0
    (folder / "train" / "NORMAL" / "IM-0099-0001.png").write_bytes(png(pixels(98)))
    assert ingest.main([str(folder), "--name", "films", *options]) == 0
    with session.transaction(context.engine) as db:
        number = db.scalars(select(Image.id).order_by(Image.id.desc())).first()
    assert search.main(["--case", str(number), *options]) == 2
    assert "add it with: python -m jobs embed --dataset films --embedder small" in capsys.readouterr().err
    shutil.copytree(folder, tmp_path / "copy")
    assert ingest.main([str(tmp_path / "copy"), "--name", "copy", *options]) == 0
    assert embed.main(["--embedder", "small", *options]) == 0
    assert search.main(["--case", "1", *options]) == 2
    assert "case 1 is in dataset 'films', not 'copy'; choose it with --dataset" in capsys.readouterr().err
