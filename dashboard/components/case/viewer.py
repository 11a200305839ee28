"""The radiograph of a case with its heatmap, and the facts next to it."""

from collections.abc import Iterator

import streamlit as st

from dashboard import pictures, resources
from dashboard.components import address, familiar, filters, frame, grid, wording
from dashboard.components.browser import film, linked
from dashboard.components.browser.linked import Cell
from dashboard.components.case import navigation
from dashboard.components.case.altered_copies import Copy
from db.models import Dataset
from db.queries import attributes, cases, outliers, runs
from db.queries.cases import Case
from engine.retrieval.outliers import SHARE

GRAD_CAM, IMPORTED = "Evidence for pneumonia (Grad-CAM)", "Imported heatmap"
ZONES = ("right_upper", "right_middle", "right_lower", "left_upper", "left_middle", "left_lower")

NO_HEATMAP = "The selected run has no heatmap of this image."


def show(case: Case, view: filters.View, copy: Copy | None = None) -> None:
    """The radiograph with the heatmap of the selected run; without one, the reason and a link to a run that has one.
    copy: the altered copy to show instead, which has no heatmap."""
    if copy is not None:
        film.show(
            src=pictures.altered_url(case.sha256, copy.stress),
            alt=f"{grid.alt(case)}; altered: {copy.what}",
            caption=f"Altered copy at the size of the classifier's input: {copy.what}. "
            f"{wording.percent(copy.probability)} pneumonia, unaltered {wording.percent(case.probability)}",
            heat=None,
        )
        return
    heat = _heat(case, view)
    film.show(
        src=pictures.image_url(case.sha256),
        alt=grid.alt(case),
        caption=f"Radiograph, {case.width} x {case.height} pixels, as ingested",
        heat=heat,
    )
    if heat is None:
        imported = view.run is not None and view.run.imported
        why = "These predictions were imported without a heatmap." if imported else NO_HEATMAP
        st.info(why)
        _elsewhere(case)


def _elsewhere(case: Case) -> None:
    """A link to the case in a run that has a heatmap of it, if there is one."""
    with resources.reading() as session:
        run = cases.explained(session, case.id)
    if run is not None:
        named = ", ".join(filter(None, [f"Run {run.id}", wording.classifier(run)]))
        linked.row([Cell(f"{named}, has a heatmap", navigation.in_run(run))], key="explained", left=True)


def facts(dataset: Dataset, case: Case, view: filters.View) -> None:
    """Facts about the case, as a table."""
    cause = f" ({case.cause})" if case.cause else ""
    rows: list[list[Cell | str]] = [
        ["Image", str(case.id)],
        ["Label", f"{wording.LABELS[case.label]}{cause}"],
        ["Prediction", _prediction(case)],
        ["Threshold", wording.percent(view.question.threshold)],
        ["Predicted by", _source(dataset, case, view)],
        *_familiar(case, view),
        *_outlier(dataset, case),
        *_attributes(dataset, case),
        ["Split", case.split or "none"],
        ["Patient", case.patient_key],
        ["File", case.path],
        ["Copies", wording.count(case.file_count, "file")],
        ["Dataset", dataset.name],
    ]
    linked.table(["", "This case"], rows, key="facts", caption="Facts about this case")


def _familiar(case: Case, view: filters.View) -> Iterator[list[Cell | str]]:
    """A warning that the prediction is of an image, or a patient, that the classifier was trained on."""
    if case.probability is not None and familiar.case(view.run, case.id):
        help = "The prediction looks better than on a new patient and counts in no metric."
        yield ["Training", Cell("trained on this image or its patient", tone="wrong", help=help)]


def _outlier(dataset: Dataset, case: Case) -> Iterator[list[Cell | str]]:
    """That the image is unlike most others of the dataset, linked to all of which this is true."""
    with resources.reading() as session:
        similarity = outliers.similarity(session, dataset.id, case.id)
    if similarity is not None:
        text = f"unlike most others: mean similarity {similarity:.2f} to the nearest {100 * SHARE:.0f} %"
        href = frame.here("cases", dataset, outliers="yes", sort="file", **address.pinned())
        yield [
            "Outlier",
            Cell(text, href, tone="wrong", help="Is it a frontal chest radiograph, upright?"),
        ]


def _attributes(dataset: Dataset, case: Case) -> Iterator[list[Cell | str]]:
    """The attributes of the image, each linked to the cases that share it."""
    with resources.reading() as session:
        known = attributes.of_images(session, [case.id]).get(case.id, {})
    for name, value in known.items():
        asked = {f"{filters.ATTRIBUTE}{name}": value, "split": case.split}
        yield [name.capitalize(), Cell(value, frame.here("cases", dataset, **asked, **address.pinned()))]


def zones(case: Case) -> None:
    """The share of the heatmap in each lung zone, with the patient's right on the left, as on the radiograph."""
    if not case.zones:
        return
    shares = {zone: float(case.zones.get(zone, 0.0)) for zone in ZONES}
    top = max(shares.values())
    rows: list[list[Cell | str]] = []
    for height in ("upper", "middle", "lower"):
        sides = [shares[f"{side}_{height}"] for side in ("right", "left")]
        rows.append(
            [height.capitalize(), *(Cell(wording.percent(v), tone="strong" if v == top else "") for v in sides)]
        )
    linked.table(
        ["Heat by zone", ">Patient's right", ">Patient's left"], rows, key="zones", caption="Heat by lung zone"
    )


def zones_in_words(case: Case) -> str:
    """The zone with most heat, in words."""
    if not case.zones:
        return "no heat in either lung"
    zone = max(case.zones, key=lambda name: float((case.zones or {})[name]))
    return f"most heat in the {zone.replace('_', ' ')} zone"


def _heat(case: Case, view: filters.View) -> film.Heat | None:
    if view.run is None or case.heatmap_row is None:
        return None
    with resources.reading() as session:
        heatmaps = runs.artifact(session, view.run.id, "heatmaps")
    return film.Heat(
        src=pictures.heat_url(view.run.id, case.sha256, version=heatmaps.sha256 if heatmaps else ""),
        alt=zones_in_words(case),
        caption=f"{IMPORTED if view.run.imported else GRAD_CAM}, scaled to this image's maximum",
    )


def _prediction(case: Case) -> Cell:
    if case.probability is None:
        return Cell("not predicted by the selected run", tone="muted")
    predicted = f"{wording.percent(case.probability)} pneumonia"
    if case.outcome is None:
        return Cell(predicted)
    tone = "wrong" if case.outcome in ("FP", "FN") else "strong"
    return Cell(f"{predicted}, {wording.OUTCOMES[case.outcome].lower()}", tone=tone)


def _source(dataset: Dataset, case: Case, view: filters.View) -> Cell | str:
    if view.run is None or case.probability is None:
        return "none"
    held_out = f", held out in fold {case.fold}" if case.fold is not None else ""
    source = ", ".join(filter(None, [view.run.kind, wording.classifier(view.run)]))
    return Cell(f"run {view.run.id} ({source}{held_out})", frame.here("runs", dataset, run=view.run.id))
