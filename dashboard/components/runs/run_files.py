"""Files that a run wrote, whether they still exist, and links to download them."""

from collections.abc import Sequence

import streamlit as st

from dashboard import downloads
from dashboard.components import wording
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from dashboard.pictures import AbsentError
from db.models import Artifact


def listing(files: Sequence[Artifact]) -> None:
    """The files as a table; available ones are linked."""
    st.header("Files")
    st.markdown("Click a name to download the file; folders are downloaded as zip archives.")
    table = [_row(file) for file in files]
    linked.table(["Name", "Path", ">Size", ">Shape", "State"], table, key="files", caption="Files")


def _row(file: Artifact) -> list[Cell | str]:
    facts = [file.path, wording.size(file.bytes), file.shape or ""]
    try:
        path = downloads.located(file)
    except (AbsentError, OSError) as error:
        state = "missing" if isinstance(error, downloads.GoneError) else "changed"
        return [file.name, *facts, Cell(state, tone="wrong", help=str(error))]
    name = downloads.name_of(file, path)
    return [Cell(file.name, downloads.url(file), help=f"Download {name}"), *facts, "available"]
