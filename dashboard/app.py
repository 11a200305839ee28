"""Which pages there are. Served by dashboard/server.py; see it for the command."""

from pathlib import Path

import streamlit as st

from dashboard.components import frame, login

ICON = Path(__file__).with_name("icon.svg")

st.set_page_config(layout="wide", page_icon=str(ICON), initial_sidebar_state="auto")
page = st.navigation(frame.pages(), position="hidden")
frame.entitle(page.title)  # or the browser's tab keeps the number of the case that was left
login.demand()
page.run()
