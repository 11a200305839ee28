"""Cases as a grid of thumbnails, and the confusion matrix with links to its cases."""

from collections.abc import Mapping, Sequence

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


def show(
    dataset: Dataset,
    found: Sequence[Case],
    *,
    key: str,
    titles: Mapping[int, str] | None = None,
    lines: Mapping[int, Sequence[str]] | None = None,
    onwards: Mapping[str, object] | None = None,
    marks: Mapping[int, str] | None = None,
    width: int = 150,
    searches: bool = False,
    instead: Mapping[int, Mapping[str, object]] | None = None,
    picking: linked.Picking | None = None,
    back: str | None = None,
    whole: bool = False,
) -> None:
    """Thumbnails that link to their cases, or with `searches` to a search by the image.

    titles, marks: by image id, shown in place of probability and outcome. lines: by image id, shown below the standard
    ones. onwards: adds a second link, to similar cases, with these parameters. instead: by image id, parameters that
    replace the page's own in the link to a case. back: where a case links back to, see `address.back_to`; by default
    where the page itself does. whole: show the images at full size instead of thumbnails."""
    cards, kept = [], filters.parameters(back=back or address.get(address.BACK))
    for case in found:
        probability = wording.percent(case.probability) if case.probability is not None else f"Image {case.id}"
        card = Card(
            href=frame.here("search", dataset, by="image", image=case.id, **address.pinned())
            if searches
            else frame.here("case", dataset, **kept | dict((instead or {}).get(case.id, {})) | {"image": case.id}),
            src=pictures.image_url(case.sha256) if whole else pictures.thumbnail_url(case.sha256),
            alt=alt(case),
            title=(titles or {}).get(case.id, probability),
            mark=(marks or {}).get(case.id, case.outcome or ""),
            tone="wrong" if case.outcome in ("FP", "FN") else "",
            lines=(
                name(case),
                f"{case.split or 'no split'} · {case.path.rpartition('/')[2]}",
                *(lines or {}).get(case.id, ()),
            ),
            more=("Cases like this", _onwards(dataset, case, onwards)) if onwards is not None else None,
        )
        cards.append(card)
    linked.cards(cards, key=key, width=width, picking=picking)


def _onwards(dataset: Dataset, case: Case, taken: Mapping[str, object]) -> str:
    """URL of the search for cases similar to this one."""
    return frame.here("search", dataset, **{**taken, "by": "image", "image": case.id})


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
