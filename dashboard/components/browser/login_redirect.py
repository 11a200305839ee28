"""Return to the requested page after a login, because the issuer sends everyone to the start page."""

from pathlib import Path
from typing import Any

import streamlit as st


def remember() -> None:
    """Remember the page that requires the login."""
    _component()(key="returning", data={"asking": True})


def go() -> None:
    """Go to that page once after the login."""
    _component()(key="returning", data={"asking": False})


@st.cache_resource(show_spinner=False)
def _component() -> Any:
    js = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
    return st.components.v2.component("pneumoscope_login_redirect", js=js)
