"""Where all images lie on a map, coloured by what is known of them; a box shows what is in it."""

import streamlit as st

from dashboard import resources
from dashboard.components import address, filters, frame, panels, wording
from dashboard.components.cases import image_map
from db.queries import runs

dataset = frame.open_dataset()
view = filters.view(dataset)
with resources.reading() as session:
    run = runs.in_force(session, "map", dataset.id)

st.title("Map")
if run is None:
    panels.missing("No map of this dataset has been drawn yet:", panels.chain(dataset, "map"))
    st.stop()

summary = run.summary or {}
drawn = list(summary["trustworthiness"])
with st.sidebar:
    named = {name: image_map.NAMES[name] for name in drawn}
    method = address.choice("Method", named, name="method", default=drawn[0], drops=["box"]) or drawn[0]
    by = address.choice("Colour", image_map.colours(dataset, run), name="colour", default="label") or "label"
    filters.predictions(view)
st.caption(
    f"{wording.count(summary['images'], 'image')} by the index of {wording.plain(summary['embedder'])}; "
    f"trustworthiness {summary['trustworthiness'][method]:.3f} (1: every neighbour on the map is a neighbour). "
    "Distances between far groups mean nothing. Drag a box over the map to see what is in it, click beside it or press "
    "Escape to clear it; click a point to open its case."
)
with panels.guarded("The map"):
    points = image_map.opened(dataset, run, method, view, by=by)
    marked = image_map.marked(dataset, points, run)
    image_map.chart(dataset, points, method=method, by=by, marked=marked)
    image_map.boxed(dataset, points, view)
