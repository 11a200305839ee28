"""Which images are nearly the same picture as a case, and whether one of them gives a figure away."""

import streamlit as st

from dashboard import resources
from dashboard.components import filters, grid, panels, wording
from db.models import Dataset
from db.queries import cases, duplicates, runs
from db.queries.cases import Case, Question


def show(dataset: Dataset, case: Case, view: filters.View) -> None:
    """The near-duplicates of a case with their verdicts; where nothing was compared yet, the command that does it."""
    with resources.reading() as session:
        run = runs.in_force(session, "duplicates", dataset.id)
        found = duplicates.of_image(session, run.id, case.id) if run else []
        question, wanted = view.question, [twin.image.id for twin in found]
        known = cases.several(session, wanted, run_id=question.run_id, threshold=question.threshold)
        total = cases.count(session, Question(dataset.id))
    compared = (run.summary or {}).get("images") if run else None
    if run is not None and compared not in (None, total):
        panels.missing(
            f"Images have come or gone since run {run.id} looked for nearly equal pictures; look again:",
            panels.chain(dataset, "duplicates"),
        )
    if run is None:
        panels.missing("Nearly equal pictures have not been looked for yet:", panels.chain(dataset, "duplicates"))
        return
    if not found and compared in (None, total):
        st.caption(f"No other image is nearly the same picture (run {run.id}).")
    if not found:
        return
    apart = {twin.image.split for twin in found if twin.pair.verdict == duplicates.NEAR_DUPLICATE} - {case.split}
    if apart:
        splits = ", ".join(sorted(split or "no split" for split in apart))
        st.warning(
            f"Nearly the same picture stands in {wording.plain(splits)}: figures that hold the two apart are too good.",
            icon=":material/content_copy:",
        )
    lines = {twin.image.id: _facts(case, twin) for twin in found}
    titles = {twin.image.id: twin.pair.verdict.capitalize() for twin in found}
    grid.show(dataset, [known[number] for number in wanted], key="twins", titles=titles, lines=lines, width=180)


def _facts(case: Case, twin: duplicates.NearDuplicateCase) -> list[str]:
    pair = twin.pair
    alike = "" if pair.similarity is None else f", similarity {pair.similarity:.3f}"
    patient = "same patient" if twin.image.patient_key == case.patient_key else "another patient by its name"
    return [f"{pair.hash_distance} of 256 bits differ{alike}", patient]
