"""How a reader walks through a list of cases: to the one before, the one after, and back to the list."""

from urllib.parse import parse_qsl

from dashboard.components import address, filters, frame, grid
from dashboard.components.browser import film, linked
from dashboard.components.browser.linked import Cell
from db.models import Dataset
from db.queries.cases import Place

ELSEWHERE = {"search": "To the search", "reports": "To the reports"}
"""Pages whose hits and rows lead to cases that are in no list of cases; see `address.back_to`."""


def listed() -> bool:
    """Whether the reader comes from a list of cases, as far as the URL tells."""
    return _came_from()[0] not in ELSEWHERE


def show(dataset: Dataset, place: Place | None, total: int) -> None:
    """Links in a row, also on the arrow keys; place is None where the case is not in the list of the URL. Who comes
    from a search or a list of reports is led back to it, and has no place in a list of cases."""
    origin, question = _came_from()
    if origin in ELSEWHERE:
        back = frame.here(origin, dataset, **dict(parse_qsl(question)))
        linked.row([Cell(ELSEWHERE[origin], back)], key="steps")
        return
    if place is None:
        linked.row([Cell("To the cases", frame.here("cases", dataset, **filters.parameters()))], key="steps")
        return
    page = -(-place.position // grid.SIZE)
    back = frame.here("cases", dataset, **filters.parameters(page=page if page > 1 else None))
    linked.row(
        [
            Cell(f"{place.position:,} of {total:,} in the list", back, help=f"Back to the list: {filters.in_words()}"),
            _step("\u2039 Previous", place.previous, dataset, key="ArrowLeft"),
            _step("Next \u203a", place.following, dataset, key="ArrowRight"),
        ],
        key="steps",
    )


def _came_from() -> tuple[str, str]:
    """The page that the URL leads back to, and its question."""
    page, _, question = (address.get(address.BACK) or "").partition("?")
    return page, question


def _step(text: str, image_id: int | None, dataset: Dataset, *, key: str) -> Cell:
    if image_id is None:
        return Cell(text, tone="muted")
    href = frame.here("case", dataset, **filters.parameters(image=image_id, **film.kept()))
    return Cell(text, href, help=f"Key: {key}", key=key)
