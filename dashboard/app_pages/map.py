"""Two-dimensional map of all images, coloured by label, outcome or attribute; a box lists the images inside it."""

import streamlit as st

from dashboard.components import address, filters, frame, panels, wording
from dashboard.components.cases import image_map
from engine.retrieval.embedders import lies_apart

dataset = frame.open_dataset()
view = filters.view(dataset)
run = image_map.run_of(dataset)

st.title("Map")
if run is None:
    panels.missing("This dataset has no map yet. Run:", panels.chain(dataset, "map"))
    st.stop()

summary = run.summary or {}
drawn = list(summary["trustworthiness"])
with st.sidebar:
    named = {name: image_map.NAMES[name] for name in drawn}
    method = address.choice("Method", named, name="method", default=drawn[0], drops=["box"]) or drawn[0]
    by = address.choice("Colour by", image_map.colours(dataset, run), name="colour", default="label") or "label"
    filters.predictions(view)
st.caption(
    f"{wording.count(summary['images'], 'image')}, embedder {wording.plain(summary['embedder'])}; "
    f"trustworthiness {summary['trustworthiness'][method]:.3f} (1: all neighbours on the map are true neighbours). "
    "Distances between separate groups are not meaningful. Drag a box on the map to list the images in it; click "
    "outside it or press Escape to clear it. Click a point to open its case."
)
if lies_apart(summary["embedder"]):
    st.caption("Training images lie apart from all others on this map: groups may show how images were embedded.")
image_map.newer(dataset, run)
with panels.guarded("The map"):
    points = image_map.opened(dataset, run, method, view, by=by)
    marked = image_map.marked(dataset, points, run)
    image_map.chart(dataset, points, method=method, by=by, marked=marked)
    image_map.boxed(dataset, points, view)
