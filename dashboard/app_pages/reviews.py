"""What readers say of the films: a queue to judge blind, how far they agree, and all reviews as a list."""

import streamlit as st

from dashboard.components import address, agreeing, filters, frame, listing, reviewing

WAYS = {"judge": "Judge blind", "agreement": "Agreement", "list": "All reviews"}

dataset = frame.open_dataset()
view = filters.view(dataset)

st.header("Reviews")
way = address.choice("Show", WAYS, name="view", default="judge")
if way == "list":
    listing.show(dataset, view)
    st.stop()

with st.sidebar:
    question = reviewing.queue(dataset, view)
if way == "agreement":
    agreeing.show(dataset, question, view)
else:
    reviewing.judge(dataset, question, view)
