"""What a page shows in place of what it cannot show: the state, and the exact command that mends it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import streamlit as st
from sqlalchemy.orm import Session

from dashboard import resources
from db.models import Dataset, Run
from db.queries import evaluation, runs
from engine.commands import job, option
from engine.errors import InputError

RESTS_ON = {"predict": "train", "report": "predict", "map": "embed", "evaluate": "predict"}
"""The job whose results a job cannot do without."""
DEMO = "make demo"
INGEST = "python -m jobs ingest FOLDER"
SERVE = "python -m streamlit run dashboard/server.py"


def missing(message: str, commands: Sequence[str]) -> None:
    """Something that jobs have yet to make, and their commands in order."""
    with st.container(border=True):
        st.markdown(message)
        st.code("\n".join(commands), language=None, wrap_lines=True)


def chain(dataset: Dataset, name: str, *options: str, after: str | None = None) -> list[str]:
    """The command of a job, behind those of the jobs that it rests on whose results are not there. after: the job that
    it is to rest on here, where that is not what RESTS_ON says."""
    with resources.reading() as session:
        found = [job(name, dataset.name, *options)]
        while (name := after or RESTS_ON.get(name, "")) and not _made(session, dataset, name):
            found.insert(0, job(name, dataset.name))
            after = None
    return found


def scored(dataset: Dataset, run: Run | None, *options: str) -> list[str]:
    """The commands that make the predictions that the options name, by the classifier of `run` or the one in force.
    Imported predictions take another import: `predict` would ask a classifier trained here in their place."""
    if run is None or not run.imported:
        return chain(dataset, "predict", *options)
    named = [*option("classifier", run.recipe), *option("threshold", run.threshold)]
    return [job("import_predictions", dataset.name, "FILE", *named, *options)]


def _made(session: Session, dataset: Dataset, name: str) -> bool:
    if name == "embed":
        return bool(evaluation.indexes(session, dataset.id))
    return runs.in_force(session, name, dataset.id) is not None


def no_database(absent: str | None = None) -> None:
    """There is no database, or nothing is in it. absent: the file that is not there."""
    st.title("Nothing here yet")
    if absent is None:
        st.markdown("The database is empty.")
    else:
        st.markdown("There is no database where the settings look for one:")
        st.code(absent, language=None, wrap_lines=True)
    st.markdown("Run the whole chain on synthetic phantoms, with nothing to download:")
    st.code(DEMO, language=None, wrap_lines=True)
    st.markdown("or bring in a folder of radiographs, then train on it and predict:")
    st.code(f"{INGEST}\npython -m jobs train\npython -m jobs predict", language=None, wrap_lines=True)
    st.markdown("Then reload this page.")


def unreachable(reason: str) -> None:
    """The database is somewhere, but does not open."""
    st.title("The database does not answer")
    st.code(reason, language=None, wrap_lines=True)
    st.markdown("Reload this page once it does.")


def old_schema() -> None:
    """The tables are from an earlier version; every job brings them up to date before it starts."""
    st.title("The database is from an earlier version")
    st.markdown("Bring its tables up to date; nothing stored is lost:")
    st.code("python -m jobs migrate", language=None, wrap_lines=True)
    st.markdown("Then reload this page.")


def newer_schema() -> None:
    """The tables are from a later version than this code."""
    st.title("The database is from a later version")
    st.markdown("This code cannot read it. Update the checkout, then restart the dashboard:")
    st.code(f"git pull\n{SERVE}", language=None, wrap_lines=True)


@contextmanager
def guarded(what: str) -> Iterator[None]:
    """A part of a page whose files may be missing or broken: it says so in its place, and the rest works."""
    try:
        yield
    except (InputError, OSError) as error:
        st.error(f"{what} cannot be shown: {' '.join(str(error).split())}", icon=":material/error:")
