"""Cases as a grid of thumbnails, and the confusion matrix with links to its cases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dashboard import pictures
from dashboard.components import address, filters, frame, wording
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Card, Cell
from db.models import Dataset
from db.queries.cases import Case, Outcome

SIZE = 48
"""Cases per page."""


def name(case: Case) -> str:
    """Label and cause in words."""
    cause = f", {case.cause}" if case.cause else ""
    return f"{wording.LABELS[case.label]}{cause}"


def alt(case: Case) -> str:
    """Alternative text of the image."""
    predicted = "" if case.probability is None else f"; predicted {wording.percent(case.probability)} pneumonia"
    return f"Chest radiograph {case.id}, {name(case).lower()}{predicted}"


@dataclass(frozen=True)
class Thumbnail:
    """A case in a grid, and where its card differs from the standard one."""

    case: Case
    title: str | None = None
    """In place of the probability."""
    mark: str | None = None
    """In place of the outcome."""
    lines: Sequence[str] = ()
    """Below the standard ones."""
    link: Mapping[str, object] = field(default_factory=dict)
    """Parameters in place of the page's own in the link to the case."""
    more: tuple[str, str] | None = None
    """A second link: text and URL."""


def show(
    dataset: Dataset,
    shown: Sequence[Thumbnail],
    *,
    key: str,
    width: int = 150,
    picking: linked.Picking | None = None,
    whole: bool = False,
    searches: bool = False,
) -> None:
    """Draw thumbnails that link to their cases, or with `searches` to a search by the image. whole: show the images at
    full size instead."""
    cards, kept = [], filters.parameters(back=address.get(address.BACK))
    for one in shown:
        case = one.case
        probability = wording.percent(case.probability) if case.probability is not None else f"Image {case.id}"
        card = Card(
            href=frame.here("search", dataset, by="image", image=case.id, run=kept["run"])
            if searches
            else frame.here("case", dataset, **kept | dict(one.link) | {"image": case.id}),
            src=pictures.image_url(case.sha256) if whole else pictures.thumbnail_url(case.sha256),
            alt=alt(case),
            title=probability if one.title is None else one.title,
            mark=(case.outcome or "") if one.mark is None else one.mark,
            tone="wrong" if case.outcome in ("FP", "FN") else "",
            lines=(name(case), f"{case.split or 'no split'} · {case.path.rpartition('/')[2]}", *one.lines),
            more=one.more,
        )
        cards.append(card)
    linked.cards(cards, key=key, width=width, picking=picking)


def confusion(dataset: Dataset, counts: Mapping[Outcome, int], *, chosen: str | None, key: str) -> None:
    """The confusion matrix; each cell links to its cases, or back to all cases if it is selected already."""

    def cell(outcome: Outcome) -> Cell:
        target = None if outcome == chosen else outcome
        href = frame.here("cases", dataset, **filters.parameters(outcome=target))
        tone = "chosen" if outcome == chosen else "wrong" if outcome in ("FP", "FN") and counts[outcome] else ""
        return Cell(f"{outcome}  {counts[outcome]:,}", href, tone, wording.OUTCOMES[outcome])

    rows = [
        [Cell("Labelled pneumonia"), cell("TP"), cell("FN")],
        [Cell("Labelled normal"), cell("FP"), cell("TN")],
    ]
    linked.table(
        ["", ">Called pneumonia", ">Called normal"], rows, key=key, caption="Confusion matrix, distinct images"
    )
