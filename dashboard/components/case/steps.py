"""Steps through a list of cases: previous, next, and back to the list."""

from urllib.parse import parse_qsl

from dashboard.components import address, filter_words, filters, frame, grid
from dashboard.components.browser import film, linked
from dashboard.components.browser.linked import Cell
from db.models import Dataset
from db.queries.cases import Place

ELSEWHERE = {"search": "Back to search", "reports": "Back to reports"}
"""Pages other than the list of cases that link to cases; see `address.back_to`."""


def listed() -> bool:
    """Whether the user came from a list of cases, according to the URL."""
    return _came_from()[0] not in ELSEWHERE


def show(dataset: Dataset, place: Place | None, total: int) -> None:
    """Links in a row, also bound to the arrow keys. place: None if the case is not in the list of the URL. After a
    search or a list of reports, the only link is back to it."""
    origin, question = _came_from()
    if origin in ELSEWHERE:
        back = frame.here(origin, dataset, **dict(parse_qsl(question)))
        linked.row([Cell(ELSEWHERE[origin], back)], key="steps")
        return
    if place is None:
        linked.row([Cell("Back to cases", frame.here("cases", dataset, **filters.parameters()))], key="steps")
        return
    page = -(-place.position // grid.SIZE)
    back = frame.here("cases", dataset, **filters.parameters(page=page if page > 1 else None))
    linked.row(
        [
            Cell(
                f"{place.position:,} of {total:,} in the list",
                back,
                help=f"Back to the list: {filter_words.in_words()}",
            ),
            _step("\u2039 Previous", place.previous, dataset, key="ArrowLeft"),
            _step("Next \u203a", place.following, dataset, key="ArrowRight"),
        ],
        key="steps",
    )


def _came_from() -> tuple[str, str]:
    """The page that the URL links back to, and its query."""
    page, _, question = (address.get(address.BACK) or "").partition("?")
    return page, question


def _step(text: str, image_id: int | None, dataset: Dataset, *, key: str) -> Cell:
    if image_id is None:
        return Cell(text, tone="muted")
    href = frame.here("case", dataset, **filters.parameters(image=image_id, **film.kept()))
    return Cell(text, href, help=f"Shortcut: {key}", key=key)
