"""Paste an image from the clipboard into the page's file uploader, wherever the focus is."""

from pathlib import Path
from typing import Any

import streamlit as st

HERE = Path(__file__).parent


def listen() -> None:
    """Pass anything pasted on the page to its file uploader. Draws nothing."""
    _component()(key="pasting")


@st.cache_resource(show_spinner=False)
def _component() -> Any:
    js = (HERE / "clipboard.js").read_text(encoding="utf-8")
    return st.components.v2.component("pneumoscope_clipboard", js=js)
