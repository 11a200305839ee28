"""One image: radiograph, heatmap, prediction, reports, reviews, similar cases, near-duplicates."""

import streamlit as st

from dashboard import resources
from dashboard.components import address, filters, frame, grid, panels, wording
from dashboard.components.case import (
    altered_copies,
    audit_findings,
    history,
    navigation,
    near_duplicates,
    steps,
    viewer,
)
from dashboard.components.cases import counting
from dashboard.components.reports import report_view, side_by_side
from dashboard.components.reviews import of_image
from dashboard.components.search import neighbours
from db.queries import cases, indexes, reports
from engine.commands import job

NEAREST = 12

dataset = frame.open_dataset()
view = filters.view(dataset)
question = view.question

with resources.reading() as session:
    image_id = address.number("image") or 0
    case = cases.one(session, image_id, run_id=question.run_id, threshold=question.threshold)
    place = cases.place(session, question, image_id) if case and steps.listed() else None
    written = reports.of_image(session, image_id)
    built = indexes.current(session, dataset.id)

if case is None or case.dataset_id != dataset.id:
    st.title("No such case")
    asked = wording.plain((address.get("image") or "")[:40])
    st.markdown(f"Dataset {wording.plain(dataset.name)} has no image {asked}." if asked else "The URL names no image.")
    kept = frame.kept(dataset) | address.pinned()
    st.page_link(frame.FOLDER / "cases.py", label="All cases", icon=":material/grid_view:", query_params=kept)
    st.stop()

frame.entitle(f"Case {case.id}")
title, walk = st.columns([3, 2], vertical_alignment="bottom")
with title:
    mark = f"{wording.OUTCOMES[case.outcome]}: " if case.outcome else ""
    st.title(f"{mark}{grid.name(case).lower() if mark else grid.name(case)}")
with walk:
    steps.show(dataset, place, counting.total(question))

navigation.show(dataset, case, view, reports=len(written))

film, known = st.columns([3, 2], gap="large")
with film:
    copies = altered_copies.changed(case, view)
    viewer.show(case, view, altered_copies.displayed(copies))
    altered_copies.show(dataset, case, view, copies)
with known:
    viewer.facts(dataset, case, view)
    viewer.zones(case)
    history.show(dataset, case, view)
    audit_findings.facts(dataset, case, view)

st.header(f"Reports ({len(written)})", anchor=navigation.REPORTS)
if not written:
    split = ["--split", case.split or "all"]
    scored = view.run is not None and view.run.kind == "predict" and case.probability is not None
    before = [] if scored else panels.scored(dataset, view.run, *split)
    written_by = job("report", dataset.name, "--images", "all", *split)
    panels.missing("This image has no report yet. Run:", [*before, written_by])
else:
    report_view.not_scored(dataset, sum(not row.scored for row in written))
    side_by_side.show([report_view.of_run(row, case, question.threshold) for row in written], view)
    if len(written) > 1:
        side_by_side.differences(written)

st.header("Reviews", anchor=navigation.REVIEWS)
of_image.show(case.id)

st.header("Similar cases", anchor=navigation.SIMILAR)
if not built:
    panels.missing("This dataset has no vector index yet. Run:", panels.chain(dataset, "embed"))
else:
    names = {index.embedder: index.embedder for index in built}
    picked = address.choice("Embedder", names, name="index", default=built[0].embedder) if len(names) > 1 else None
    index = next((index for index in built if index.embedder == picked), built[0])
    with panels.guarded("The similar cases"):
        served = neighbours.serve_index(index)
        held = wording.count(served.index.count, "image")
        st.caption(f"Index {index.embedder}: {held}, {neighbours.search_method(served.index)}.")
        hits = neighbours.nearest_to_image(served, case.id, NEAREST)
        onwards = {"run": question.run_id, "index": address.get("index")}
        found = neighbours.SearchResult(hits, served.index, case.zones)
        neighbours.show(dataset, found, view, key="similar", wanted=NEAREST, onwards=onwards)
audit_findings.neighbours(dataset, case, view)

st.header("Near-duplicates", anchor=navigation.TWINS)
with panels.guarded("The near-duplicates"):
    near_duplicates.show(dataset, case, view)
