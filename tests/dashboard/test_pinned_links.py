"""Links reproduce the view: they name the run whose predictions they show, and thereby the dataset."""

import pytest
from sqlalchemy import select
from streamlit.testing.v1 import AppTest

from db import session as database
from db.models import Dataset, Run
from tests.dashboard.opened import PINNED, Workbench, asked, cell, linked, open_page, predicted_since, said
from tests.sample import build, films

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def shown(at: AppTest) -> list[tuple[str, str]]:
    """The cases on the page and what they are marked with."""
    return [(asked(card["href"])[1]["image"], card["mark"]) for card in linked(at, "cases")["cards"]]


def test_links_of_the_overview_and_of_lists_show_the_same_films_after_another_predict_run(workbench: Workbench) -> None:
    listed = open_page("cases", sort="file")
    links = [
        *(cell(open_page("overview"), "attention", name) for name in ("Missed pneumonia", "False positives")),
        *(cell(listed, "confusion", name) for name in ("TP", "FN")),
        linked(open_page("case", image=1), "steps")["steps"][0],
    ]
    places = [asked(link["href"]) for link in links]
    before = [shown(open_page(page, **parameters)) for page, parameters in places]
    case, parameters = asked(linked(listed, "cases")["cards"][3]["href"])
    told = linked(open_page(case, **parameters), "facts")["rows"][2]
    predicted_since(workbench, int(PINNED["run"]))
    assert [shown(open_page(page, **parameters)) for page, parameters in places] == before
    assert all(before)
    assert linked(open_page(case, **parameters), "facts")["rows"][2] == told
    assert shown(open_page("cases", outcome="FN")) == [], "a URL without a run shows the current run"


def test_a_filter_that_is_set_names_the_run_in_the_address_and_none_is_named_before(workbench: Workbench) -> None:
    at = open_page("cases")
    assert at.query_params == {}
    at.segmented_control(key="url_outcome").set_value("FN").run()
    found, address = shown(at), {name: str(value) for name, value in at.query_params.items()}
    predicted_since(workbench, int(PINNED["run"]))
    assert shown(open_page("cases", **address)) == found != []


def test_the_current_run_is_named_where_it_is_chosen(workbench: Workbench) -> None:
    at = open_page("cases", run=2)
    at.selectbox(key="url_run").set_value(PINNED["run"]).run()
    assert at.query_params == PINNED


@pytest.mark.parametrize("page", ["cases", "case", "map", "reports", "search", "runs"])
def test_an_address_with_a_run_is_about_the_runs_dataset_also_when_another_was_ingested_since(
    workbench: Workbench, page: str
) -> None:
    build(workbench.engine, workbench.artifacts, workbench.folder, pictures=films(8, seed=1), name="later")
    at = open_page(page, **PINNED, image=1)
    assert at.selectbox(key="url_dataset").value == "sample"
    assert "No such case" not in said(at)
    assert open_page(page, **PINNED, image=1, dataset="later").selectbox(key="url_dataset").value == "later"
    to_cases = next(one.proto for one in at.get("page_link") if one.proto.page == "cases")
    assert "dataset=sample" in to_cases.query_string


def test_an_address_with_an_image_alone_is_about_the_images_dataset(workbench: Workbench) -> None:
    build(workbench.engine, workbench.artifacts, workbench.folder, pictures=films(8, seed=1), name="later")
    at = open_page("case", image=1)
    assert at.selectbox(key="url_dataset").value == "sample" and "No such case" not in said(at)
    assert open_page("case", image=10**6).selectbox(key="url_dataset").value == "later"
    with database.transaction(workbench.engine) as db:
        held = {"config": {}, "code_version": "t", "status": "finished", "pid": 1, "host": "t"}
        made = Run(kind="map", fingerprint="m" * 64, dataset_id=workbench.dataset_id, **held)
        made.summary = {"images": 0, "embedder": "none", "trustworthiness": {"umap": 1.0}}
        db.add(made)
        db.flush()
        number = made.id
    assert open_page("map", map=number).selectbox(key="url_dataset").value == "sample"


def test_a_table_is_a_table_again_on_the_way_back_from_a_case(workbench: Workbench) -> None:
    at = open_page("cases", look="table")
    page, parameters = asked(cell(at, "confusion", "FN")["href"])
    assert (page, parameters["look"]) == ("cases", "table")
    href = linked(open_page("case", image=1, look="table"), "steps")["steps"][0]["href"]
    assert asked(href)[1]["look"] == "table"


def test_another_dataset_is_chosen_without_the_run_of_the_one_before(workbench: Workbench) -> None:
    build(workbench.engine, workbench.artifacts, workbench.folder, pictures=films(8, seed=1), name="later")
    at = open_page("cases", **PINNED)
    at.selectbox(key="url_dataset").set_value("later").run()
    with database.transaction(workbench.engine) as db:
        latest = db.scalars(select(Run.id).join(Dataset).where(Dataset.name == "later", Run.kind == "predict")).one()
    assert at.query_params == {"dataset": "later"}
    search = open_page("search", **PINNED, index="imagenet-lite0", map=3, box="1,2,3,4")
    search.selectbox(key="url_dataset").set_value("later").run()
    assert set(search.query_params) <= {"dataset", "run", "index"}
    assert search.query_params.get("run") != PINNED["run"]
    assert f"predictions of run {latest}" in said(at).lower()


@pytest.mark.parametrize(
    ("page", "asked_for", "label"),
    [
        ("case", {"image": 99999}, "All cases"),
        ("cases", {"cause": "fungal"}, "All cases"),
        ("reports", {"words": "xylophone"}, "All reports"),
        ("reviews", {"reviewer": "A", "label": "unknown"}, "Whole queue"),
    ],
)
def test_what_starts_again_from_all_stays_in_the_dataset(
    workbench: Workbench, page: str, asked_for: dict[str, object], label: str
) -> None:
    build(workbench.engine, workbench.artifacts, workbench.folder, pictures=films(8, seed=1), name="later")
    links = [one.proto for one in open_page(page, dataset="sample", **asked_for).get("page_link")]
    (again,) = [link for link in links if link.label == label]
    assert "dataset=sample" in again.query_string
