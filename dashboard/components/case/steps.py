"""How a reader walks through a list of cases: to the one before, the one after, and back to the list."""

from dashboard.components import address, filters, frame, grid
from dashboard.components.browser import film, linked
from dashboard.components.browser.linked import Cell
from db.models import Dataset
from db.queries.cases import Place


def show(dataset: Dataset, place: Place | None, total: int) -> None:
    """Links in a row, also on the arrow keys; place is None where the case is not in the list of the URL. Who comes
    from a list of reports is led back to it, and has no place in a list of cases."""
    if address.get("via") == "reports":
        back = frame.here("reports", dataset, **address.onwards(page=address.get("page"), via=None, image=None))
        linked.row([Cell("To the reports", back)], key="steps")
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


def _step(text: str, image_id: int | None, dataset: Dataset, *, key: str) -> Cell:
    if image_id is None:
        return Cell(text, tone="muted")
    href = frame.here("case", dataset, **filters.parameters(image=image_id, **film.kept()))
    return Cell(text, href, help=f"Key: {key}", key=key)
