"""Which cases of a list are picked, and what can be done with them: tag, take a tag off, take away as a file."""

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
from db.session import DatabaseUnavailableError

SERIAL = "chosen_serial"
"""In the session: the number of the browser's change that was last written to the URL. A session counts from its start
in milliseconds, so that a change the browser still holds of a lost session has a lower number."""
TAG = "tag_name"
"""In the session: the tag in the form."""
TOLD = "chosen_told"
"""In the session: what came of the last action, until it has been shown."""
TAGGED = 20_000
"""Cases that are tagged at once."""

Ids = Callable[[], Sequence[int]]
"""Tells the ids of some cases when they are wanted."""


def chosen(dataset: Dataset) -> list[int]:
    """The picked cases of the dataset, in the order they were picked; others stay picked in no other dataset."""
    named = address.numbers(PICKED, most=MOST_PICKED)
    if not named:
        return []
    with resources.reading() as session:
        here = {*cases.of_dataset(session, dataset.id, named)}
    return [number for number in named if number in here]


def picking(dataset: Dataset, key: str, ids: Sequence[int]) -> linked.Picking:
    """Boxes beside the cases of a grid or table with that key."""
    serial = st.session_state.setdefault(SERIAL, time.time_ns() // 1_000_000)
    return linked.Picking(ids, chosen(dataset), serial, partial(_changed, key))


def _changed(key: str) -> None:
    """Write what was picked to the URL; what is no number in it is left aside when it is read."""
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
    """A row of what can be done with the picked cases, or with all that match where none is picked."""
    picked = chosen(dataset)
    number = len(picked) or total
    tell()
    with st.container(horizontal=True, vertical_alignment="center"):
        said = f"{wording.count(len(picked))} selected" if picked else f"All {wording.count(total)} that match"
        st.markdown(f"**{said}**")
        _choosing("Select this page", [*dict.fromkeys([*picked, *shown])][:MOST_PICKED])
        if picked:
            _choosing("Clear", [])
        take_away(dataset, view, partial(tuple, picked), number)
        if total:
            _offer_review(picked)


def tell() -> None:
    """Show what came of the last action, once."""
    place = st.empty()  # keeps its place, so that the form below it stays open
    if told := st.session_state.pop(TOLD, None):
        place.info(told)


def take_away(dataset: Dataset, view: filters.View, picked: Ids, number: int) -> None:
    """Tag or download the picked cases, or all of the view where none is picked. number: how many that are. picked:
    tells their ids when they are wanted."""
    with st.popover("Tag", disabled=not number or number > TAGGED):
        _tagging(dataset, view, picked, number)
    exports.buttons(dataset, view, picked, disabled=not number)


def _choosing(label: str, ids: Sequence[int]) -> None:
    """A button that picks these; no callback, which a session that begins with the click does not know yet."""
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
    name = st.selectbox("Tag", known, index=None, key=TAG, accept_new_options=True, placeholder="New, or one in use")
    on, off = st.columns(2)
    said = wording.count(number, "case")
    ids = partial(_ids, view, picked)
    unnamed = not (name or "").strip()
    on.button(f"Tag {said}", disabled=unnamed, on_click=_as_named, args=(put_on, ids), width="stretch")
    off.button("Take it off", disabled=unnamed, on_click=_as_named, args=(take_off, ids), width="stretch")


def _as_named(write: Callable[[Ids, str], None], ids: Ids) -> None:
    """Write the tag that the form names now: a quick click comes before the page is drawn with it."""
    write(ids, (st.session_state.get(TAG) or "").strip())


def _ids(view: filters.View, picked: Ids) -> Sequence[int]:
    with resources.reading() as session:
        return picked() or cases.ids(session, view.question)


def put_on(ids: Ids, name: str) -> None:
    """Tag the cases; what came of it is told when the page is drawn next."""
    _write(writes.tag, "put on", ids, name)


def take_off(ids: Ids, name: str) -> None:
    """Take the tag off the cases again, as `put_on` put it there."""
    _write(writes.untag, "taken off", ids, name)


def _write(work: Callable[[Session, Sequence[int], str], int], done: str, ids: Ids, name: str) -> None:
    try:
        settled = review_rules.tags([name])[0]
        wanted = ids()
        with resources.writing() as session:
            number = work(session, wanted, settled)
    except (review_rules.RefusedError, DatabaseUnavailableError, DBAPIError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        st.session_state[TOLD] = f"Nothing was tagged: {wording.plain(str(cause))}"
        return
    # one that already carries the tag, or carries none, counts as nothing done
    came = f"{done} {wording.count(number, 'case')}" if number else "nothing to change"
    st.session_state[TOLD] = f"Tag {wording.plain(settled)}: {came}."
