"""Navigation of the app. Served by dashboard/server.py, which has the command."""

from pathlib import Path

import streamlit as st

from dashboard.components import frame, login

ICON = Path(__file__).with_name("icon.svg")

st.set_page_config(layout="wide", page_icon=str(ICON), initial_sidebar_state="auto")
page = st.navigation(frame.pages(), position="hidden")
frame.entitle(page.title)  # otherwise the browser tab keeps the title of the previous case
login.demand()
page.run()
