"""How cases look as pictures: a grid of thumbnails, and the counts of outcomes as links to their cases."""

from collections.abc import Mapping, Sequence

from dashboard import pictures
from dashboard.components import address, filters, frame, wording
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Card, Cell
from db.models import Dataset
from db.queries.cases import Case, Outcome

SIZE = 48
"""Cases on a page of a list."""


def name(case: Case) -> str:
    """Label and cause in words."""
    cause = f", {case.cause}" if case.cause else ""
    return f"{wording.LABELS[case.label]}{cause}"


def alt(case: Case) -> str:
    """What the image shows, for those who do not see it."""
    said = "" if case.probability is None else f"; model says {wording.percent(case.probability)} pneumonia"
    return f"Chest radiograph {case.id}, {name(case).lower()}{said}"


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
    """Thumbnails that lead to their cases, or to a search by them; titles by image id stand in for the probability,
    lines by image id stand under the usual ones, marks by image id stand in for the outcome. onwards: each has a second
    link, to the cases like it, which takes these parameters along. instead: parameters by image id that the link to a
    case has in place of the page's own. back: where a case leads back to, see `address.back_to`; by default where the
    page itself does. whole: the films themselves stand in for thumbnails."""
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
    """The search for cases like this one."""
    return frame.here("search", dataset, **{**taken, "by": "image", "image": case.id})


def confusion(dataset: Dataset, counts: Mapping[Outcome, int], *, chosen: str | None, key: str) -> None:
    """The four outcomes as a table whose cells lead to their cases, and back to all where one is chosen already."""

    def cell(outcome: Outcome) -> Cell:
        target = None if outcome == chosen else outcome
        href = frame.here("cases", dataset, **filters.parameters(outcome=target))
        tone = "chosen" if outcome == chosen else "wrong" if outcome in ("FP", "FN") and counts[outcome] else ""
        return Cell(f"{outcome}  {counts[outcome]:,}", href, tone, wording.OUTCOMES[outcome])

    rows = [
        [Cell("Pneumonia by label"), cell("TP"), cell("FN")],
        [Cell("Normal by label"), cell("FP"), cell("TN")],
    ]
    linked.table(
        ["", ">Model says pneumonia", ">Model says normal"], rows, key=key, caption="Confusion matrix, distinct images"
    )
