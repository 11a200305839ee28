"""What is shown after a verdict: label, prediction, report and other readers' verdicts."""

from dashboard import resources
from dashboard.components import filters, frame, grid, wording
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from dashboard.components.reports import report_view
from db.models import Dataset
from db.queries import cases, reports, reviews
from db.queries.cases import Case
from db.queries.reviews import ListedReview
from db.review_rules import CALLS, VERDICTS


def show(dataset: Dataset, own: ListedReview, view: filters.View) -> None:
    """Draw it as a table, with a link to the case."""
    image, question = own.image, view.question
    with resources.reading() as session:
        case = cases.one(session, image.id, run_id=question.run_id, threshold=question.threshold)
        written = reports.latest_of(session, [image.sha256]).get(image.sha256)
        others = [one for one in reviews.of_image(session, image.id) if one.review.reviewer != own.review.reviewer]
    if case is None:
        return
    href = frame.here("case", dataset, image=image.id, run=question.run_id)
    rows: list[list[Cell | str]] = [
        ["Your verdict", _verdict(own, case)],
        ["Label", grid.name(case)],
        ["Model", _model(case)],
        ["Report", report_view.excerpt(written.text) if written else Cell("none", tone="muted")],
    ]
    rows += [[one.review.reviewer, in_words(one)] for one in others if not one.superseded]
    if own.tags:
        rows.append(["Tags", ", ".join(own.tags)])
    rows.append(["Case", Cell(f"Image {image.id}", href)])
    linked.table(["", "This image"], rows, key="revealed", caption="What is known about this image")


def in_words(one: ListedReview) -> str:
    """Display name of the verdict."""
    return VERDICTS.get(one.review.verdict, one.review.verdict)


def _verdict(own: ListedReview, case: Case) -> Cell:
    called = CALLS.get(own.review.verdict)
    if called is None or case.label is None:
        return Cell(in_words(own), tone="strong")
    same = called == case.label
    return Cell(
        f"{in_words(own)}, {'agrees' if same else 'disagrees'} with the label", tone="strong" if same else "wrong"
    )


def _model(case: Case) -> Cell:
    if case.probability is None:
        return Cell("not predicted by the selected run", tone="muted")
    predicted = f"{wording.percent(case.probability)} pneumonia"
    return Cell(predicted if case.outcome is None else f"{predicted}, {wording.OUTCOMES[case.outcome].lower()}")
