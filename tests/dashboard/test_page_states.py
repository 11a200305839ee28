"""Every page in every state between empty and complete: images only, a single image, missing files."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, delete, or_, select, update
from streamlit.testing.v1 import AppTest

from db import session as database
from db.models import Artifact, Dataset, Image, Metric, Review, Run
from jobs import ingest
from tests.dashboard.opened import PAGES, Workbench, open_page, said
from tests.sample import Film, build, films

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
NAMES = pytest.mark.parametrize("name", PAGES)


def add_map(engine: Engine, artifacts: Path) -> None:
    """A map of all images."""
    with database.transaction(engine) as db:
        ids = np.array(db.scalars(select(Image.id).order_by(Image.id)).all())
        run = Run(kind="map", fingerprint="m" * 64, config={}, code_version="t", status="finished", pid=1, host="t")
        run.dataset_id = db.scalars(select(Dataset.id)).one()
        run.summary = {"images": len(ids), "embedder": "imagenet-lite0", "trustworthiness": {"umap": 0.91}}
        db.add(run)
        db.flush()
        (artifacts / "runs" / "map").mkdir(parents=True)
        for key, array in {"ids": ids, "umap": np.zeros((len(ids), 2), np.float32)}.items():
            np.save(artifacts / "runs" / "map" / f"{key}.npy", array)
            db.add(Artifact(run_id=run.id, name=key, path=f"runs/map/{key}.npy", sha256=key, bytes=1))


def test_a_database_that_is_not_there_is_named(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL")
    at = open_page("overview")
    assert not at.exception
    assert str(served / "pneumoscope.db") in [one.value for one in at.code]


def chains(at: AppTest) -> list[list[str]]:
    """The jobs of each block of commands on the page."""
    return [[line.split()[3] for line in str(one.value).splitlines()] for one in at.code if "-m jobs" in str(one.value)]


@NAMES
def test_images_alone_are_shown_and_each_page_names_the_commands_that_make_the_rest_in_order(
    engine: Engine, served: Path, tmp_path: Path, name: str
) -> None:
    for film in films(6):
        path = tmp_path / "films" / film.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(film.data)
    assert ingest.main([str(tmp_path / "films"), "--name", "six"]) == 0
    at = open_page(name, image=1)
    assert not at.exception
    assert not at.error
    missing = {
        "overview": [["train", "predict", "evaluate"]],
        "cases": [["train", "predict"]],
        "case": [["train", "predict", "report"], ["embed"], ["duplicates"]],
        "reports": [["train", "predict", "report"]],
        "search": [["embed"]],
        "map": [["embed", "map"]],
    }
    assert chains(at) == missing.get(name, [])
    if name in missing:
        assert f"python -m jobs {missing[name][0][-1]} --dataset six" in said(at)


@pytest.mark.parametrize(
    ("page", "gone", "left"),
    [
        ("overview", ["evaluate"], ["evaluate"]),
        ("overview", ["evaluate", "predict"], ["predict", "evaluate"]),
        ("map", ["embed"], ["embed", "map"]),
        ("map", [], ["map"]),
    ],
)
def test_commands_leave_out_what_exists_already(
    workbench: Workbench, page: str, gone: list[str], left: list[str]
) -> None:
    with database.transaction(workbench.engine) as db:
        db.execute(update(Run).where(Run.kind.in_(gone)).values(status="failed"))
    assert chains(open_page(page)) == [left]


def test_an_overview_without_retrieval_or_reports_lists_the_required_jobs(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        db.execute(delete(Metric).where(or_(Metric.split == "reports", Metric.name.startswith("p_at_"))))
    assert chains(open_page("overview")) == [["evaluate"], ["evaluate"]]
    with database.transaction(workbench.engine) as db:
        db.execute(update(Run).where(Run.kind.in_(["embed", "report"])).values(status="failed"))
    assert chains(open_page("overview")) == [["embed", "evaluate"], ["report", "evaluate"]]


@NAMES
def test_a_single_image_with_every_run_is_shown_whole(engine: Engine, served: Path, tmp_path: Path, name: str) -> None:
    single: list[Film] = [one for one in films(6) if one.split == "test" and one.label == 1][:1]
    build(engine, served, tmp_path / "films", pictures=single)
    add_map(engine, served)
    with database.transaction(engine) as db:
        db.add(Review(image_id=1, reviewer="A", verdict="pneumonia"))
    at = open_page(name, image=1)
    assert not at.exception
    assert not at.error


@NAMES
def test_without_the_artifact_folder_each_page_says_what_is_gone_and_the_rest_is_there(
    workbench: Workbench, name: str
) -> None:
    add_map(workbench.engine, workbench.artifacts)
    for child in workbench.artifacts.iterdir():
        shutil.rmtree(child)
    at = open_page(name, image=1, by="image")
    assert not at.exception
    assert at.title
    broken = {"case": "index", "search": "index", "map": "create the map again: python -m jobs map"}
    if name in broken:
        assert broken[name] in " ".join(str(one.value) for one in at.error)
    else:
        assert not at.error


@NAMES
def test_without_the_films_each_page_is_there(workbench: Workbench, name: str) -> None:
    shutil.rmtree(workbench.folder)
    at = open_page(name, image=1)
    assert not at.exception
    assert not at.error


@NAMES
def test_a_dataset_that_lost_all_its_images_breaks_no_page(workbench: Workbench, name: str) -> None:
    add_map(workbench.engine, workbench.artifacts)
    with database.transaction(workbench.engine) as db:
        db.execute(delete(Image))
    at = open_page(name, image=1)
    assert not at.exception
    told = " ".join(str(one.value) for one in at.error)
    assert ("exists any more; create it again: python -m jobs map" in told) == (name == "map")
