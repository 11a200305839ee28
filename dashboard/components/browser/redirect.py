"""Open another page from code, as a link would, so that this page stays in the browser history.

(st.switch_page first writes the other page's parameters to this page's URL, and back would lead there.)
"""

from pathlib import Path
from typing import Any

import streamlit as st


def to(href: str) -> None:
    """Open the URL as soon as the browser has drawn the page so far, and stop the script."""
    _component()(key=f"going_{href}", data={"href": href})
    st.stop()


@st.cache_resource(show_spinner=False)
def _component() -> Any:
    js = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
    return st.components.v2.component("pneumoscope_redirect", js=js)
