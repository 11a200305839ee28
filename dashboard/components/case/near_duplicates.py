"""Near-duplicates of a case, and whether one of them leaks across splits."""

import streamlit as st

from dashboard import resources
from dashboard.components import filters, grid, panels, wording
from db.models import Dataset
from db.queries import cases, datasets, duplicates, runs
from db.queries.cases import Case, Question


def show(dataset: Dataset, case: Case, view: filters.View) -> None:
    """The near-duplicates of a case with their verdicts, or the command that searches for them."""
    with resources.reading() as session:
        run = runs.current(session, "duplicates", dataset.id)
        found = duplicates.of_image(session, run.id, case.id) if run else []
        question, wanted = view.question, [twin.image.id for twin in found]
        known = cases.several(session, wanted, run_id=question.run_id, threshold=question.threshold)
        held: dict[str, int | None] = {"images": cases.count(session, Question(dataset.id))}
        held["latest_image"] = datasets.latest_image(session, dataset.id)
    searched = (run.summary or {}) if run else {}
    outdated = any(searched.get(name) not in (None, now) for name, now in held.items())
    if run is not None and outdated:
        panels.missing(
            f"Images were added or removed since run {run.id} searched for near-duplicates. Run again:",
            panels.chain(dataset, "duplicates"),
        )
    if run is None:
        panels.missing("Near-duplicates have not been searched for yet. Run:", panels.chain(dataset, "duplicates"))
        return
    if not found and not outdated:
        st.caption(f"No near-duplicates found (run {run.id}).")
    if not found:
        return
    apart = {twin.image.split for twin in found if twin.pair.verdict == duplicates.NEAR_DUPLICATE} - {case.split}
    if apart:
        splits = ", ".join(sorted(split or "no split" for split in apart))
        st.warning(
            f"A near-duplicate is in {wording.plain(splits)}: metrics that rely on separate splits are too optimistic.",
            icon=":material/content_copy:",
        )
    drawn = [
        grid.Thumbnail(known[twin.image.id], title=twin.pair.verdict.capitalize(), lines=_facts(case, twin))
        for twin in found
    ]
    grid.show(dataset, drawn, key="twins", width=180)


def _facts(case: Case, twin: duplicates.NearDuplicateCase) -> list[str]:
    pair = twin.pair
    alike = "" if pair.similarity is None else f", similarity {pair.similarity:.3f}"
    patient = "same patient" if twin.image.patient_key == case.patient_key else "different patient key"
    return [f"{pair.hash_distance} of 256 hash bits differ{alike}", patient]
