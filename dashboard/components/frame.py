"""The frame of every page: navigation, the selected dataset, the synthetic-data banner, the state of the database."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import streamlit as st
from sqlalchemy.exc import DBAPIError

from dashboard import resources
from dashboard.components import address, login, panels, wording
from db.models import Dataset
from db.queries import cases, datasets, runs
from db.session import DatabaseUnavailableError, cause

FOLDER = Path(__file__).parent.parent / "app_pages"
FOCUS = Path(__file__).parent / "browser" / "focus.css"
TITLES = {
    "overview": ("Overview", ":material/dashboard:"),
    "cases": ("Cases", ":material/grid_view:"),
    "reports": ("Reports", ":material/description:"),
    "search": ("Search", ":material/image_search:"),
    "map": ("Map", ":material/scatter_plot:"),
    "reviews": ("Reviews", ":material/rate_review:"),
    "runs": ("Runs", ":material/history:"),
}
SUPPOSED = "dataset_supposed"
"""Session key: name of the default dataset, for URLs that name no dataset, run, map or image."""
NAME = "Pneumoscope"
USE = "Research use, not for diagnosis."
SYNTHETIC = "SYNTHETIC dataset: phantoms drawn by this project. Results only show that the software works."


def pages() -> list[st.Page]:
    """All pages for st.navigation; a case page is reached through links only."""
    listed = [
        st.Page(FOLDER / f"{name}.py", title=title, icon=icon, default=name == "overview")
        for name, (title, icon) in TITLES.items()
    ]
    return [*listed, st.Page(FOLDER / "case.py", title="Case", visibility="hidden")]


def entitle(shown: str) -> None:
    """Set the title of the browser tab."""
    st.set_page_config(f"{shown} \N{MIDDLE DOT} {NAME}")


def open_dataset(*, stamps: bool = True) -> Dataset:
    """Draw the frame and return the selected dataset; if there is none, say what to run and stop the page. stamps:
    whether the page shows this dataset, so that the banner is drawn for it."""
    address.settle()
    address.unpin()
    known, problem = _datasets()
    supposed = _supposed(known)
    viewed = next((one for one in known if one.name == address.get("dataset")), supposed)
    st.session_state[SUPPOSED] = known[0].name if known else None
    st.html(FOCUS)
    with st.sidebar:
        st.markdown(f"**{NAME}**")  # no heading: a page has one of the first level, its own
        for name, (title, icon) in TITLES.items():
            st.page_link(FOLDER / f"{name}.py", label=title, icon=icon, query_params=kept(viewed))
        st.caption(USE)
        login.badge()
        if supposed and len(known) > 1:
            names = {dataset.name: dataset.name for dataset in known}
            address.menu("Dataset", names, name="dataset", default=supposed.name, drops=["run", "map", "box", "index"])
    if viewed is None:
        problem()
        st.stop()
    if stamps:
        stamp(viewed)
        _warn_of_absent_dataset(viewed)
        _warn_of_absent_runs()
    return viewed


def stamp(dataset: Dataset) -> None:
    """Draw the banner if the dataset is synthetic."""
    if dataset.synthetic:
        st.warning(SYNTHETIC, icon=":material/science:")


def absent_run(number: int) -> str | None:
    """A sentence saying that there is no such run, and which run removed it; None if it exists."""
    with resources.reading() as session:
        if runs.find(session, number) is not None:
            return None
        by = runs.forgotten_by(session, number)
    return f"Run {number} does not exist{f'; it was removed by run {by.id}' if by else ''}."


def _warn_of_absent_dataset(viewed: Dataset) -> None:
    """Say if the dataset named in the URL does not exist, because the page then shows another one."""
    named = address.get("dataset")
    if named and named != viewed.name:
        shown = f"Dataset {wording.plain(named[:40])} does not exist. This page shows {wording.plain(viewed.name)}."
        st.info(shown, icon=":material/history:")


def _warn_of_absent_runs() -> None:
    """Say if a run named in the URL does not exist, because the page then shows something else instead."""
    for name in ("run", "against", "map"):
        number = address.number(name)
        absent = absent_run(number) if number is not None else None
        if absent is not None:
            st.info(f"{absent} This page ignores it.", icon=":material/history:")


def kept(dataset: Dataset | None) -> dict[str, str]:
    """URL parameters that every link to another page carries: the reviewer, and the dataset if the URL names it or if
    it is not the default."""
    named = dataset and (address.get("dataset") or st.session_state.get(SUPPOSED, dataset.name) != dataset.name)
    found = {"dataset": dataset.name if dataset and named else None, "reviewer": address.get("reviewer")}
    return {name: value for name, value in found.items() if value}


def here(path: str, dataset: Dataset, /, **parameters: object) -> str:
    """URL of a page about the dataset, with the parameters that links keep."""
    return address.link(path, **{**kept(dataset), **parameters})


def _supposed(known: Sequence[Dataset]) -> Dataset | None:
    """The dataset shown if the URL names none: that of the URL's run, map or image, else the first; None if there is
    none."""
    numbers, image = [address.number(name) for name in ("run", "map")], address.number("image")
    if not any((*numbers, image)) or len(known) < 2:
        return known[0] if known else None
    with resources.reading() as session:
        named = [runs.find(session, number) for number in numbers if number]
        owners = [*(run.dataset_id for run in named if run), cases.dataset_of(session, image or 0)]
    return next((one for owner in owners for one in known if one.id == owner), known[0])


def _datasets() -> tuple[list[Dataset], Callable[[], None]]:
    """The datasets, latest first, and what to show if there are none."""
    try:
        state = resources.schema_state()
        if state == "current":
            with resources.reading() as session:
                return list(datasets.every(session)), panels.no_database
    except (DatabaseUnavailableError, DBAPIError) as error:
        if absent := resources.absent_database():
            return [], partial(panels.no_database, absent)
        return [], partial(panels.unreachable, cause(error))
    return [], {"old": panels.old_schema, "newer": panels.newer_schema}.get(state, panels.no_database)
