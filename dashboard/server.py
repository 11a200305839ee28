"""The dashboard server with pages and images: python -m streamlit run dashboard/server.py (127.0.0.1:8501)."""

import logging
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import streamlit as st
from sqlalchemy.exc import InterfaceError, OperationalError

from dashboard import admission, components, downloads, identity, pictures, resources
from db import session
from db.session import DatabaseUnavailableError
from engine.errors import InputError

log = logging.getLogger(__name__)


def explain(error: Exception) -> bool:
    """Say in one line that the database failed while a page was drawn; Streamlit shows all other errors."""
    log.error("a page failed", exc_info=error)
    if not isinstance(error, OperationalError | InterfaceError | DatabaseUnavailableError):
        return False
    said = f"Lost connection to the database: {session.cause(error)}. Reload the page once it is back."
    st.error(said, icon=":material/database_off:")
    return True


try:
    identity.required()
except InputError as error:
    raise SystemExit(f"error: {error}") from error
app = st.App(
    Path(__file__).with_name("app.py"),
    routes=[*pictures.ROUTES, *downloads.ROUTES],
    middleware=admission.middleware(),
    on_script_error=explain,
)
for name in ("pandas", *(one.name for one in walk_packages(components.__path__, f"{components.__name__}."))):
    import_module(name)  # at startup, so that the first page does not wait for it
resources.settle_memory()
