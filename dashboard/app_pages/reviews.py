"""What readers say of the films: a queue to judge blind, how far they agree, and all reviews as a list."""

import streamlit as st

from dashboard.components import address, filters, frame
from dashboard.components.reviews import agreement, blind_queue, review_list

WAYS = {"judge": "Judge blind", "agreement": "Agreement", "list": "All reviews"}

dataset = frame.open_dataset()
view = filters.view(dataset)

st.title("Reviews")
way = address.choice("Show", WAYS, name="view", default="judge")
if way == "list":
    review_list.show(dataset, view)
    st.stop()

with st.sidebar:
    question = blind_queue.queue(dataset, view)
if way == "agreement":
    agreement.show(dataset, question, view)
else:
    blind_queue.judge(dataset, question, view)
