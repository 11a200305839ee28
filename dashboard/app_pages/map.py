"""Where all images lie on a map: coloured by label, outcome or probability; a box shows what is in it."""

import streamlit as st

from dashboard import resources
from dashboard.components import address, filters, frame, mapping, panels, wording
from db.queries import runs

dataset = frame.open_dataset()
view = filters.view(dataset)
with resources.reading() as session:
    run = runs.latest_finished(session, "map", dataset.id)

st.header("Map")
if run is None:
    panels.missing("No map of this dataset has been drawn yet:", f"python -m jobs map --dataset {dataset.name}")
    st.stop()

summary = run.summary or {}
drawn = list(summary["trustworthiness"])
with st.sidebar:
    named = {name: mapping.NAMES[name] for name in drawn}
    method = address.choice("Method", named, name="method", default=drawn[0]) or drawn[0]
    by = address.choice("Colour", mapping.BY, name="colour", default="label") or "label"
st.caption(
    f"{wording.count(summary['images'], 'image')} by the index of {wording.plain(summary['embedder'])}; "
    f"trustworthiness {summary['trustworthiness'][method]:.3f} (1: every neighbour on the map is a neighbour). "
    "Distances between far groups mean nothing. Drag a box over the map to see what is in it."
)
with panels.guarded("The map"):
    points, ids = mapping.opened(run, method)
    known = mapping.known(view, ids)
    table = mapping.table(points, ids, known)
    mapping.chart(table, method=method, by=by, synthetic=dataset.synthetic)
    inside = mapping.boxed(table)
    if inside is not None:
        mapping.slice_of(dataset, inside, known, view)
