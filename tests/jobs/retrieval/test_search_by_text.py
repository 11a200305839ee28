"""search by text: which of images and reports answers, what a negation does, and what was not read."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Picture
from sqlalchemy import event, select, update

from db import session, writes
from db.models import Dataset, Image, Report, Review, VectorIndex
from db.queries import search as queries
from db.queries.cases import Question
from jobs import embed, ingest, search
from jobs.command import Context
from tests.jobs.retrieval.small_films import COUNT, answer, write_reports
from tests.tiny_models import tiny_clip


def test_text_without_an_index_that_reads_it_is_answered_by_reports_and_says_so(
    options: list[str], context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    assert embed.main(["--embedder", "small", *options]) == 0
    write_reports(context)
    found = answer(options, capsys, "--text", "opacity bronchograms", "--k", "100")
    assert found["answered_by"].startswith("full-text search of notes and reports (texts that deny the words")
    command = "python -m jobs embed --dataset films --embedder aligned"
    assert found["notes"] == [f"to make the images searchable by text, run: {command}"]
    assert len(found["hits"]) == len({hit["case"] for hit in found["hits"]}) == COUNT // 2
    assert {hit["label"] for hit in found["hits"]} == {"pneumonia"}
    assert all("«bronchograms»" in hit["snippet"] for hit in found["hits"])  # the better of each image's two
    few = answer(options, capsys, "--text", "opacities", "--k", "2", "--split", "test")
    assert [hit["split"] for hit in few["hits"]] == ["test", "test"]
    assert answer(options, capsys, "--text", "opacities", "--label", "normal")["hits"] == []
    unheard = answer(options, capsys, "--text", "zebra")
    assert unheard["hits"] == [] and queries.UNWRITTEN not in unheard["notes"]
    unwritten = answer(options, capsys, "--text", "opacities", "--split", "val")
    assert (unwritten["hits"], unwritten["notes"][0]) == ([], queries.UNWRITTEN)
    assert search.main(["--text", "clear lung", *options]) == 0
    assert "«lungs» are «clear»" in capsys.readouterr().out


def test_words_that_a_report_denies_do_not_find_it(
    options: list[str], context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    assert embed.main(["--embedder", "small", *options]) == 0
    write_reports(context)
    with session.transaction(context.engine) as db:
        row = db.scalars(select(Report).order_by(Report.id)).first()
        assert row is not None
        row.text, denied = "No effusion. The opacity is gone.", row.image_id
    refused = answer(options, capsys, "--text", "effusion")
    assert refused["hits"] == []
    assert refused["notes"][0].startswith("texts with the words, but deny what they name, only consider it, or place")
    found = answer(options, capsys, "--text", "no effusion")
    assert [hit["case"] for hit in found["hits"]] == [denied]
    assert not any("texts with the words" in note for note in found["notes"])


def test_text_is_answered_by_an_index_that_reads_it_and_says_how_to_ask_the_reports(
    options: list[str], context: Context, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_clip(tmp_path / "models" / "clip")
    assert embed.main(["--embedder", "clip", *options]) == 0
    assert embed.main(["--embedder", "small", *options]) == 0
    write_reports(context)
    found = answer(options, capsys, "--text", "opacities", "--k", "3")
    assert found["answered_by"].startswith("the index of clip")
    assert found["notes"] == ["to search notes and reports instead, add --reports"]
    assert len(found["hits"]) == 3
    for k, words in ((3, ["opacities"]), (2, ["opacities", "--reports"]), (1, ["zebra", "--reports"])):
        grid = tmp_path / "words.png"
        assert search.main(["--text", *words, "--k", str(k), "--grid", str(grid), *options]) == 0
        drawn = int(capsys.readouterr().err.split(" hits")[0].rsplit(" ", 1)[1])
        assert drawn == (0 if words[0] == "zebra" else k)
        assert Picture.open(grid).size[0] > (1 + drawn) * 224
    by_words = answer(options, capsys, "--text", "opacities", "--k", "3", "--reports")
    assert by_words["notes"] == ["to search the images instead, leave --reports out"]
    assert by_words["answered_by"].startswith("full-text search of notes and reports")
    (tmp_path / "models").rename(tmp_path / "gone")
    without = answer(options, capsys, "--text", "opacities", "--k", "3")
    assert without["answered_by"].startswith("full-text search of notes and reports")
    assert "python -m jobs fetch_models clip" in without["notes"][0]
    (tmp_path / "gone").rename(tmp_path / "models")
    with session.transaction(context.engine) as db:
        (path,) = db.scalars(select(VectorIndex.path).where(VectorIndex.embedder == "clip"))
    (context.artifacts / path / "ids.npy").write_bytes(b"torn")
    torn = answer(options, capsys, "--text", "opacities", "--k", "3")
    assert torn["answered_by"].startswith("full-text search of notes and reports")
    assert "ids.npy is not the file that was written; build it again with: " in torn["notes"][0]
    assert search.main(["--text", "opacities", "--embedder", "clip", *options]) == 1


def test_a_readers_note_is_found_before_reports_and_heeds_negation(
    options: list[str], context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    with session.transaction(context.engine) as db:
        images = list(db.scalars(select(Image).order_by(Image.id)))
        written = {images[0].id: "Small effusion at the left base.", images[1].id: "No effusion.", images[2].id: ""}
        db.add_all(
            Review(image_id=number, reviewer="reader", verdict="agree", note=note) for number, note in written.items()
        )
    assert embed.main(["--embedder", "small", *options]) == 0
    (hit,) = answer(options, capsys, "--text", "effusion")["hits"]
    assert (hit["case"], hit["snippet"].rstrip(".")) == (images[0].id, "Small «effusion» at the left base")
    assert [one["case"] for one in answer(options, capsys, "--text", "no effusion")["hits"]] == [images[1].id]
    write_reports(context)
    found = answer(options, capsys, "--text", "left base lungs", "--k", "3")["hits"]
    assert found[0]["case"] == images[0].id
    assert len(found) == 3
    with session.transaction(context.engine) as db:
        db.execute(update(Review).where(Review.image_id == images[0].id).values(note="clear"))
    assert answer(options, capsys, "--text", "effusion")["hits"] == []


def test_more_hits_than_a_statement_takes_values_are_found(context: Context) -> None:
    with session.transaction(context.engine) as db:
        dataset = Dataset(name="noted", root="/", synthetic=False)
        db.add(dataset)
        db.flush()
        shared = {"dataset_id": dataset.id, "patient_key": "p", "width": 1, "height": 1}
        db.add_all(Image(sha256=f"{number:064}", path=f"{number}.png", **shared) for number in range(1200))
        db.flush()
        numbers = db.scalars(select(Image.id).where(Image.dataset_id == dataset.id)).all()
        db.add_all(
            Review(image_id=number, reviewer="reader", verdict="normal", note=f"opacity of case {number}")
            for number in numbers
        )
    values: list[int] = []

    def note(_connection: Any, _cursor: Any, _statement: str, parameters: Any, *_others: Any) -> None:
        values.append(len(parameters))

    event.listen(context.engine, "before_cursor_execute", note)
    with session.transaction(context.engine) as db:
        hits = queries.texts(db, Question(dataset.id), "opacity", limit=70_000).hits
    assert sorted(hit.image.id for hit in hits) == sorted(numbers)
    assert all(hit.snippet.startswith("«opacity» of case") for hit in hits)
    assert max(values) < 600  # PostgreSQL takes 65,535


def test_words_are_found_however_their_accents_are_encoded(options: list[str], context: Context) -> None:
    with session.transaction(context.engine) as db:
        dataset_id = db.scalars(select(Dataset.id)).one()
        writes.review(db, image_id=1, reviewer="reader", verdict="normal", note="O\u0308dem, gering")
    with session.transaction(context.engine) as db:
        for typed in ("\u00d6dem", "O\u0308DEM"):
            assert queries.words(typed) == ["\u00f6dem"]
            assert [hit.image.id for hit in queries.texts(db, Question(dataset_id), typed, limit=3).hits] == [1]


def test_denials_of_most_texts_do_not_hide_the_few_that_affirm_and_a_limit_is_told(
    options: list[str], context: Context, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_reports(context)
    with session.transaction(context.engine) as db:
        db.execute(update(Report).values(text="No effusion."))
        said = "After a long course there is now, on the left side and in the lower zone, a large effusion to be seen."
        last = db.scalars(select(Report).order_by(Report.id.desc())).first()
        assert last is not None
        last.text = said
        affirmed = db.scalars(select(Image.id).where(Image.sha256 == last.image_sha256)).one()
    monkeypatch.setattr(queries, "EXAMINED", 2)
    monkeypatch.setattr(queries, "AT_ONCE", 3)
    found = answer(options, capsys, "--text", "effusion", "--reports")
    assert [hit["case"] for hit in found["hits"]] == [affirmed] and queries.UNREAD not in found["notes"]
    monkeypatch.setattr(queries, "EXAMINED", 1)
    found = answer(options, capsys, "--text", "effusion", "--reports")
    assert found["hits"] == [] and queries.UNREAD in found["notes"]


def test_reports_of_another_dataset_with_the_same_pictures_are_found_there(
    options: list[str], context: Context, folder: Path, tmp_path: Path
) -> None:
    write_reports(context)
    shutil.copytree(folder, tmp_path / "copy")
    assert ingest.main([str(tmp_path / "copy"), "--name", "copy", *options]) == 0
    with session.transaction(context.engine) as db:
        other = db.scalars(select(Dataset).where(Dataset.name == "copy")).one()
        hits = queries.texts(db, Question(other.id), "opacity", limit=50).hits
        assert {hit.image.dataset_id for hit in hits} == {other.id}
    assert len(hits) == COUNT // 2


def test_words_that_are_too_many_to_look_for_are_told(
    options: list[str], context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    assert embed.main(["--embedder", "small", *options]) == 0
    write_reports(context)
    text = " ".join(f"word{number}" for number in range(1500))
    told = "only the first 32 of the 1,502 different words are looked for"
    notes = answer(options, capsys, "--text", f"opacity {text} zone")["notes"]
    assert notes[0] == told and len(notes) == 2
    assert len(answer(options, capsys, "--text", "opacity " * 1250)["notes"]) == 1
