"""Cases that match the filters, with confusion matrix, threshold slider and selection."""

import streamlit as st

from dashboard import resources
from dashboard.components import address, familiar, filter_words, filters, frame, grid, panels, wording
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from dashboard.components.cases import active_filters, counting, list_views, selection, threshold_slider
from db.queries import cases

dataset = frame.open_dataset()
view = filters.view(dataset)
filters.draw(dataset, view)

total, counts = counting.total(view.question), counting.outcomes(view.question)

left, right = st.columns([2, 3], gap="large", vertical_alignment="bottom")
with left:
    st.title("Cases")
    st.markdown(f"{wording.count(total, 'distinct image')}. {filter_words.described(view)}")
    if narrowed := active_filters.links(dataset, view):
        linked.row(narrowed, key="filters", left=True)
with right:
    if counts and any(counts.values()):
        grid.confusion(dataset, counts, chosen=view.question.outcome, key="confusion")
    elif other := counting.elsewhere(view):
        st.caption("The selected run has no predictions for these images. Another run does:")
        href = frame.here("cases", dataset, **filters.parameters(run=other.id))
        linked.row([Cell(filters.named_run(other), href)], key="elsewhere")
familiar.warn(view.run, split=view.question.split)
threshold_slider.show(dataset, view)

if view.run is None:
    panels.missing(
        "Outcomes and probabilities need predictions. Run:",
        panels.chain(dataset, "predict"),
    )
page = address.page(total, grid.SIZE)
with resources.reading() as session:
    shown = cases.page(session, view.question, limit=grid.SIZE, offset=(page - 1) * grid.SIZE)
if not shown:
    st.info("No image matches all of these filters. Remove a filter, or show all cases.")
    kept = frame.kept(dataset) | address.pinned()
    st.page_link(frame.FOLDER / "cases.py", label="All cases", icon=":material/filter_alt_off:", query_params=kept)
left, right = st.columns([5, 1], vertical_alignment="center")
with left:
    selection.actions(dataset, view, total, [case.id for case in shown])
with right:
    look = list_views.look()
list_views.show(dataset, view, shown, look=look)
address.pages(total, grid.SIZE)
