"""The search page: an uploaded image, what it is told, and the model that embeds it."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture
from sqlalchemy import delete, select

from dashboard.components.search import by_picture, inference
from dashboard.components.search.inference import Reading
from db import session as database
from db.models import Artifact, Run, VectorIndex
from engine.errors import InputError
from engine.retrieval.embedders.features import FeatureEmbedder
from tests.dashboard.opened import PINNED, Workbench, asked, linked, open_page, said
from tests.sample import unit

RUN = {"config": {}, "code_version": "", "status": "finished", "host": "", "pid": 1}

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Small(FeatureEmbedder):
    """Embeds images as the sample's index does."""

    def __init__(self) -> None:
        super().__init__("imagenet-lite0", "0" * 16, 256, 64, lambda pixels: np.stack([unit(one) for one in pixels]))


def test_a_broken_upload_is_one_line(workbench: Workbench) -> None:
    at = open_page("search")
    at.file_uploader[0].upload("film.png", b"\x89PNG and then nothing", "image/png").run()
    assert not at.exception
    assert len(at.error) == 1
    assert "\n" not in str(at.error[0].value)
    assert "file film.png cannot be used: " in str(at.error[0].value)


def test_an_upload_against_an_index_of_other_weights_is_refused(workbench: Workbench) -> None:
    at = open_page("search")
    at.file_uploader[0].upload("film.png", workbench.films[1].data, "image/png").run(timeout=120)
    assert any("build it again with: python -m jobs embed" in str(one.value) for one in at.error)


def test_an_uploaded_image_is_kept_when_the_user_returns_until_it_is_removed(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "read", lambda *_: Reading(np.eye(1, 256, dtype=np.float32)))
    monkeypatch.setattr(by_picture, "model", lambda index: Small())
    at = open_page("search")
    at.file_uploader[0].upload("film.png", workbench.films[1].data, "image/png").run(timeout=120)
    hits = [card["src"] for card in linked(at, "hits")["cards"]]
    at.switch_page("app_pages/case.py")
    at.query_params["image"] = "1"
    at.run()
    at.switch_page("app_pages/search.py").run(timeout=120)
    assert at.file_uploader[0].value is None
    assert [card["src"] for card in linked(at, "hits")["cards"]] == hits
    next(one for one in at.button if one.label == "Remove image").click().run()
    assert not [one for one in at.get("bidi_component") if one.proto.id.endswith("-hits")]
    assert "Remove image" not in [one.label for one in at.button]


def test_an_upload_of_no_known_patient_says_that_nobody_is_left_out(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> Reading:
        return Reading(np.eye(1, 256, dtype=np.float32))

    monkeypatch.setattr(inference, "read", read)
    monkeypatch.setattr(by_picture, "model", lambda index: Small())
    film = workbench.films[1].data
    for data, told in ((film, "it is excluded from the hits"), (film + b"\n", "its patient is unknown")):
        at = open_page("search", patients="others")
        at.file_uploader[0].upload("film.png", data, "image/png").run(timeout=120)
        assert not at.error
        assert told in said(at)


def test_an_upload_that_lies_upside_down_is_turned_on_request(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_picture, "model", lambda index: Small())
    monkeypatch.setattr(inference, "classifier_of", lambda *_: None)
    picture = np.array(Picture.open(io.BytesIO(workbench.films[1].data)))

    def encoded(pixels: Any) -> bytes:
        Picture.fromarray(np.ascontiguousarray(pixels)).save(stream := io.BytesIO(), "PNG")
        return stream.getvalue()

    at = open_page("search")
    at.file_uploader[0].upload("film.png", encoded(picture[::-1, ::-1]), "image/png").run(timeout=120)
    assert not at.error and not at.exception
    hint = "The image seems to be upside down: turned by 180 degrees, it would be more like the collection"
    assert hint in said(at)
    next(one for one in at.button if one.label == "Search turned by 180 degrees").click().run(timeout=120)
    assert "seems to be" not in said(at) and "64 x 64 pixels, turned by 180 degrees" in said(at)
    assert {card["lines"][0].split(",")[0] for card in linked(at, "hits")["cards"]} == {"Pneumonia"}
    next(one for one in at.button if one.label == "Search with it as uploaded").click().run(timeout=120)
    assert hint in said(at)
    next(one for one in at.button if one.label == "Search turned by 180 degrees").click().run(timeout=120)
    at.file_uploader[0].upload("other.png", encoded(picture), "image/png").run(timeout=120)
    assert "seems to be" not in said(at) and "64 x 64 pixels" in said(at) and "180 degrees" not in said(at)


@pytest.mark.parametrize("shape", [(1, 5000), (3, 3000), (600, 40_000), (4000, 2)])
def test_a_picture_that_is_a_line_is_shown_and_answered(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int]
) -> None:
    monkeypatch.setattr(inference, "read", lambda *_: Reading(np.eye(1, 256, dtype=np.float32)))
    monkeypatch.setattr(by_picture, "model", lambda index: Small())
    line = io.BytesIO()
    Picture.fromarray(np.arange(shape[0] * shape[1], dtype=np.uint8).reshape(shape)).save(line, "PNG")
    at = open_page("search")
    at.file_uploader[0].upload("line.png", line.getvalue(), "image/png").run(timeout=120)
    assert not at.exception and not at.error
    assert f"{shape[1]} x {shape[0]} pixels" in said(at)


def test_an_upload_is_read_by_the_weights_of_a_training_that_was_redone_in_its_place(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_embedder(name: str, *, models: Path, checkpoint: Path, weights: None) -> SimpleNamespace:
        return SimpleNamespace(name=name, revision=checkpoint.read_text())

    monkeypatch.setattr("engine.retrieval.embedders.load_embedder", load_embedder)
    for weights in ("old", "new"):
        (workbench.artifacts / "checkpoint").write_text(weights)
        with database.transaction(workbench.engine) as db:
            run = db.scalars(select(Run).where(Run.kind == "predict")).one()
            db.execute(delete(Artifact).where(Artifact.name == "checkpoint"))
            kept = {"name": "checkpoint", "path": "checkpoint", "sha256": weights, "bytes": 3}
            db.add(Artifact(run_id=run.config["train_run"], **kept))
        index = VectorIndex(run_id=run.id, embedder="classifier", revision=weights)
        assert by_picture.model(index).revision == weights


def test_a_query_is_embedded_with_the_weights_that_embed_was_given(
    workbench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_embedder(name: str, *, weights: Path | None, **_: object) -> SimpleNamespace:
        return SimpleNamespace(name=name, revision=weights.read_text() if weights else "default")

    monkeypatch.setattr("engine.retrieval.embedders.load_embedder", load_embedder)
    (given := tmp_path / "given").write_text("given")
    with database.transaction(workbench.engine) as db:
        run = db.scalars(select(Run).where(Run.kind == "embed")).first()
        assert run is not None
        run.summary = {**(run.summary or {}), "weights": str(given)}
    kept = {"run_id": run.id, "dataset_id": workbench.dataset_id, "embedder": "clip"}
    assert by_picture.model(VectorIndex(**kept, revision="given")).revision == "given"
    given.unlink()
    assert by_picture.model(VectorIndex(**kept, revision="default")).revision == "default"


def test_weights_that_are_exchanged_under_a_running_dashboard_are_read(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = workbench.artifacts / "weights"
    monkeypatch.setattr(
        "engine.retrieval.embedders.load_embedder",
        lambda name, **_: SimpleNamespace(name=name, revision=weights.read_text()),
    )
    with database.transaction(workbench.engine) as db:
        run = db.scalars(select(VectorIndex.run_id)).first()
    kept = {"run_id": run, "dataset_id": workbench.dataset_id, "embedder": "clip"}
    made_by = {revision: VectorIndex(**kept, revision=revision) for revision in "abc"}
    for here, index in (("a", "a"), ("b", "b"), ("b", "c"), ("c", "c")):
        weights.write_text(here)
        if here == index:
            assert by_picture.model(made_by[index]).revision == here
        else:
            with pytest.raises(InputError, match="revision c, but b is here"):
                by_picture.model(made_by[index])


def test_an_upload_that_is_a_file_of_the_dataset_leads_to_its_case(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "read", lambda *_: Reading(np.eye(1, 256, dtype=np.float32)))
    monkeypatch.setattr(by_picture, "model", lambda index: Small())
    at = open_page("search")
    at.file_uploader[0].upload("film.png", workbench.films[0].data, "image/png").run(timeout=120)
    (card,) = linked(at, "query")["cards"]
    assert asked(card["href"]) == ("case", {**PINNED, "image": "1", "back": "search?run=3&index=imagenet-lite0"})
    assert any(line.startswith("Model: ") for line in card["lines"])


def test_the_embedder_loads_while_a_picture_is_chosen_and_its_absence_waits_for_one(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def model(index: VectorIndex) -> None:
        asked.append(index.embedder)
        raise InputError("weights of another day")

    monkeypatch.setattr(by_picture, "model", model)
    at = open_page("search")
    assert asked == ["imagenet-lite0"] and not at.error and not at.exception
    open_page("search", by="image", image=1)
    assert len(asked) == 1, "an image of the dataset needs no model"
