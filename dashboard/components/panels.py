"""Messages shown in place of missing content, with the exact command that fixes the problem."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import streamlit as st
from sqlalchemy.orm import Session

from dashboard import resources
from db.models import Dataset, Run
from db.queries import indexes, runs
from engine.commands import job, option
from engine.errors import InputError

RESTS_ON = {"predict": "train", "report": "predict", "map": "embed", "evaluate": "predict"}
"""Job -> the job whose results it requires."""
DEMO = "make demo"
INGEST = "python -m jobs ingest FOLDER"
SERVE = "python -m streamlit run dashboard/server.py"


def missing(message: str, commands: Sequence[str]) -> None:
    """Content that has not been computed yet, and the commands that compute it, in order."""
    with st.container(border=True):
        st.markdown(message)
        st.code("\n".join(commands), language=None, wrap_lines=True)


def chain(dataset: Dataset, name: str, *options: str, after: str | None = None) -> list[str]:
    """The command of a job, preceded by those of required jobs whose results are missing. after: the required job, if
    it is not the one in RESTS_ON."""
    with resources.reading() as session:
        found = [job(name, dataset.name, *options)]
        while (name := after or RESTS_ON.get(name, "")) and not _made(session, dataset, name):
            found.insert(0, job(name, dataset.name))
            after = None
    return found


def scored(dataset: Dataset, run: Run | None, *options: str) -> list[str]:
    """The commands that make predictions with these options by the classifier of `run`, or by the current one. Imported
    predictions need another import, because `predict` would use a classifier trained here instead."""
    if run is None or not run.imported:
        return chain(dataset, "predict", *options)
    named = [*option("classifier", run.recipe), *option("threshold", run.threshold)]
    return [job("import_predictions", dataset.name, "FILE", *named, *options)]


def _made(session: Session, dataset: Dataset, name: str) -> bool:
    if name == "embed":
        return bool(indexes.current(session, dataset.id))
    return runs.current(session, name, dataset.id) is not None


def no_database(absent: str | None = None) -> None:
    """The database is missing or empty. absent: the missing file."""
    st.title("No data yet")
    if absent is None:
        st.markdown("The database is empty.")
    else:
        st.markdown("There is no database at the configured path:")
        st.code(absent, language=None, wrap_lines=True)
    st.markdown("Run the whole pipeline on synthetic phantoms, without any download:")
    st.code(DEMO, language=None, wrap_lines=True)
    st.markdown("or ingest a folder of radiographs, then train a classifier and run it:")
    st.code(f"{INGEST}\npython -m jobs train\npython -m jobs predict", language=None, wrap_lines=True)
    st.markdown("Then reload this page.")


def unreachable(reason: str) -> None:
    """The database cannot be opened."""
    st.title("The database cannot be reached")
    st.code(reason, language=None, wrap_lines=True)
    st.markdown("Reload this page once it is back.")


def old_schema() -> None:
    """The schema is older than this code; every job also migrates it before it starts."""
    st.title("The database schema is out of date")
    st.markdown("Migrate it; no data is lost:")
    st.code("python -m jobs migrate", language=None, wrap_lines=True)
    st.markdown("Then reload this page.")


def newer_schema() -> None:
    """The schema is newer than this code."""
    st.title("The database schema is newer than this code")
    st.markdown("Update the code, then restart the dashboard:")
    st.code(f"git pull\n{SERVE}", language=None, wrap_lines=True)


@contextmanager
def guarded(what: str) -> Iterator[None]:
    """A section of a page whose files may be missing or damaged: shows the error there and keeps the rest working."""
    try:
        yield
    except (InputError, OSError) as error:
        st.error(f"{what} cannot be shown: {' '.join(str(error).split())}", icon=":material/error:")
