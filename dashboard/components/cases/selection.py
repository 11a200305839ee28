"""Selected cases of a list, and actions on them: add or remove a tag, download, review."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import streamlit as st
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from dashboard import resources
from dashboard.components import address, filters, frame, wording
from dashboard.components.browser import linked
from dashboard.components.cases import exports
from dashboard.components.reviews import blind_queue
from dashboard.components.reviews.blind_queue import MOST_PICKED, PICKED
from db import review_rules, writes
from db.models import Dataset
from db.queries import cases, reviews
from db.session import DatabaseUnavailableError, cause

SERIAL = "chosen_serial"
"""Session key: number of the browser's change that was last written to the URL. A session starts counting at its start
time in milliseconds, so that a change the browser still holds from a lost session has a lower number."""
TAG = "tag_name"
"""Session key: the tag in the form."""
MESSAGE = "chosen_message"
"""Session key: result of the last action, until it has been shown."""
TAGGED = 20_000
"""Maximum number of cases tagged at once."""

Ids = Callable[[], Sequence[int]]
"""Returns the ids of some cases on request."""


def chosen(dataset: Dataset) -> list[int]:
    """The selected cases that belong to the dataset, in the order of selection."""
    named = address.numbers(PICKED, most=MOST_PICKED)
    if not named:
        return []
    with resources.reading() as session:
        here = {*cases.of_dataset(session, dataset.id, named)}
    return [number for number in named if number in here]


def picking(dataset: Dataset, key: str, ids: Sequence[int]) -> linked.Picking:
    """Selection boxes for the cases of the grid or table with this key."""
    serial = st.session_state.setdefault(SERIAL, time.time_ns() // 1_000_000)
    return linked.Picking(ids, chosen(dataset), serial, partial(_changed, key))


def _changed(key: str) -> None:
    """Write the selection to the URL, without values that are not numbers."""
    sent = st.session_state[key].get(PICKED)
    if not isinstance(sent, Mapping) or not isinstance(sent.get("ids"), list):
        return
    serial = sent.get("serial")
    if not isinstance(serial, int) or serial < st.session_state[SERIAL]:
        return
    st.session_state[SERIAL] = serial
    _choose([number for number in sent["ids"] if isinstance(number, int)][:MOST_PICKED])


def _choose(ids: Sequence[int]) -> None:
    address.put(**{PICKED: ".".join(map(str, ids)) or None, address.PAGE: address.get(address.PAGE)})


def actions(dataset: Dataset, view: filters.View, total: int, shown: Sequence[int]) -> None:
    """A row of actions on the selected cases, or on all that match if none is selected."""
    picked = chosen(dataset)
    number = len(picked) or total
    show_message()
    with st.container(horizontal=True, vertical_alignment="center"):
        scope = f"{wording.count(len(picked))} selected" if picked else f"All {wording.count(total)} that match"
        st.markdown(f"**{scope}**")
        _choosing("Select this page", [*dict.fromkeys([*picked, *shown])][:MOST_PICKED])
        if picked:
            _choosing("Clear selection", [])
        take_away(dataset, view, partial(tuple, picked), number)
        if total:
            _offer_review(picked)


def show_message() -> None:
    """Show the result of the last action, once."""
    place = st.empty()  # keeps its place, so that the form below it stays open
    if message := st.session_state.pop(MESSAGE, None):
        place.info(message)


def take_away(dataset: Dataset, view: filters.View, picked: Ids, number: int) -> None:
    """Buttons to tag or download the selected cases, or all of the view if none is selected. number: how many these
    are. picked: returns the selected ids on request."""
    with st.popover("Tag", disabled=not number or number > TAGGED):
        _tagging(dataset, view, picked, number)
    exports.buttons(dataset, view, picked, disabled=not number)


def _choosing(label: str, ids: Sequence[int]) -> None:
    """A button that selects these cases; not a callback, which a session that starts with the click would not know."""
    if st.button(label):
        _choose(ids)
        st.rerun()


def _offer_review(picked: Sequence[int]) -> None:
    st.page_link(
        frame.FOLDER / "reviews.py",
        label="Review these",
        icon=":material/rate_review:",
        query_params=blind_queue.of_picked() if picked else blind_queue.of_filters(),
    )


def _tagging(dataset: Dataset, view: filters.View, picked: Ids, number: int) -> None:
    with resources.reading() as session:
        known = list(reviews.tags_in_use(session, dataset.id))
    name = st.selectbox("Tag", known, index=None, key=TAG, accept_new_options=True, placeholder="New or existing tag")
    on, off = st.columns(2)
    cases_in_words = wording.count(number, "case")
    ids = partial(_ids, view, picked)
    unnamed = not (name or "").strip()
    on.button(f"Tag {cases_in_words}", disabled=unnamed, on_click=_as_named, args=(put_on, ids), width="stretch")
    off.button("Remove tag", disabled=unnamed, on_click=_as_named, args=(take_off, ids), width="stretch")


def _as_named(write: Callable[[Ids, str], None], ids: Ids) -> None:
    """Apply the tag that the form holds now: a quick click arrives before the page is redrawn with it."""
    write(ids, (st.session_state.get(TAG) or "").strip())


def _ids(view: filters.View, picked: Ids) -> Sequence[int]:
    with resources.reading() as session:
        return picked() or cases.ids(session, view.question)


def put_on(ids: Ids, name: str) -> None:
    """Tag the cases; the result is shown when the page is next drawn."""
    _write(writes.tag, "added to", ids, name)


def take_off(ids: Ids, name: str) -> None:
    """Remove a tag that `put_on` added to the cases."""
    _write(writes.untag, "removed from", ids, name)


def _write(work: Callable[[Session, Sequence[int], str], int], done: str, ids: Ids, name: str) -> None:
    try:
        settled = review_rules.tags([name])[0]
        wanted = ids()
        with resources.writing() as session:
            number = work(session, wanted, settled)
    except (review_rules.RefusedError, DatabaseUnavailableError, DBAPIError) as error:
        st.session_state[MESSAGE] = f"No tags were changed: {wording.plain(cause(error))}"
        return
    # a case that already has the tag, or has none to remove, does not count
    result = f"{done} {wording.count(number, 'case')}" if number else "nothing to change"
    st.session_state[MESSAGE] = f"Tag {wording.plain(settled)}: {result}."
