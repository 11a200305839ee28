"""Readers' reviews: a queue for blind review, reader agreement, and a list of all reviews."""

import streamlit as st

from dashboard.components import address, filter_words, filters, frame
from dashboard.components.reviews import agreement, blind_queue, review_list

WAYS = {"judge": "Blind review", "agreement": "Agreement", "list": "All reviews"}

dataset = frame.open_dataset()
view = filters.view(dataset)

st.title("Reviews")
way = address.choice("View", WAYS, name="view", default="judge")
if way == "list":
    review_list.show(dataset, view)
    st.stop()

with st.sidebar:
    question = blind_queue.queue(dataset, view)
if ignored := filter_words.not_applied(view, but="split"):  # a queue has a value of its own for all splits
    st.caption(ignored)
if way == "agreement":
    agreement.show(dataset, question, view)
else:
    blind_queue.judge(dataset, question, view)
