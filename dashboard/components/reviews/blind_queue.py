"""Blind review: the reader's name, the next image, the verdict form, skipping and undoing."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import streamlit as st
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from dashboard import pictures, resources
from dashboard.components import address, filters, frame, login, wording
from dashboard.components.browser import film
from dashboard.components.reviews import revealed
from db import review_rules, writes
from db.models import Dataset
from db.queries import cases, reviews
from db.queries.cases import Question
from db.queries.reviews import Film, ListedReview
from db.review_rules import VERDICTS, RefusedError
from db.session import DatabaseUnavailableError, cause

PICKED, MOST_PICKED = "chosen", 500
"""URL parameter of individually selected cases, and the maximum number of them."""
ALL = "all"
"""Value of the split parameter for all splits."""
BLIND = frozenset(
    (
        *("dataset_id", "run_id", "threshold", "own_threshold", "split", "reported", "near_duplicate", "outlier_of"),
        *("sort", "plan"),
    )
)
"""Fields of a question that reveal nothing about the images in the queue; every other one does."""
UNBLINDING = {
    **{"label": "label", "cause": "cause", "outcome": "outcome", "low": "probability", "high": "probability"},
    **{"changed_by_threshold": "outcome", "differs_from": "outcome", "agrees_with": "outcome"},
    **{"changed_under": "stress test"},
    **{"slice_id": "slice", "reviewed": "reviews", "tag": "tag", "attributes": "attributes", "ids": "hand"},
}
"""The others -> name of what they reveal about every image in the queue."""
CASE, EARLIER = "case", "earlier look"
"""The same for an image reviewed from its case page, or for the second time."""
ANSWER, ANSWERS = "answer", {"show": "Show the answer", "hide": "Next image"}
"""URL parameter of what follows a verdict, and its values."""
PROBLEM = "review_problem"
"""Session key: why the last verdict was not stored, until it has been shown."""


def of_filters() -> dict[str, str]:
    """URL parameters of a blind queue of the cases that match the filters in the URL."""
    kept = {name: address.get(name) for name in ("dataset", "reviewer")}
    given = filters.parameters(split=address.get("split") or ALL, sort=None, **kept)
    return {name: str(value) for name, value in given.items() if value is not None}


def of_picked() -> dict[str, str]:
    """URL parameters of a blind queue of the selected cases, ignoring filters."""
    kept = {name: address.get(name) for name in ("dataset", "reviewer", "run", PICKED)}
    return {"split": ALL} | {name: value for name, value in kept.items() if value}


def of_image(image_id: int) -> dict[str, str]:
    """URL parameters for reviewing one image."""
    known = {"dataset": address.get("dataset"), "reviewer": address.get("reviewer"), **address.pinned()}
    return {name: value for name, value in known.items() if value} | {"image": str(image_id)}


def queue(dataset: Dataset, view: filters.View) -> Question:
    """Draw the choice of the split; returns the query in the URL, by default for the test split."""
    splits, _ = filters.offered(dataset)
    default = "test" if "test" in splits else ALL
    split = address.choice("Split", {ALL: "All splits", **splits}, name="split", default=default)
    picked = tuple(address.numbers(PICKED, most=MOST_PICKED)) if address.get(PICKED) else None
    return replace(view.question, split=None if split == ALL else split, ids=picked, sort="file")


def judge(dataset: Dataset, question: Question, view: filters.View) -> None:
    """The next image with the verdict form or, after the verdict, what is known about the image."""
    with st.sidebar:
        address.choice("After a verdict", ANSWERS, name=ANSWER, default="show")
    naming, progress = st.columns([2, 3], gap="large", vertical_alignment="bottom")
    with naming:
        reviewer = _reader()
    with resources.reading() as session:
        named = _named(session, dataset)
    unblinded_by = _unblinded_by(question, named)
    if reviewer is None:
        _warn(unblinded_by)
        return
    with resources.reading() as session:
        total, done = cases.count(session, question), reviews.judged(session, question, reviewer)
        shown = named or reviews.next_film(session, question, reviewer, after=_hash("after"))
        own = reviews.latest(session, shown.image_id, reviewer) if shown else None
        if shown and EARLIER not in unblinded_by and reviews.answer_seen(session, shown.image_id, reviewer):
            unblinded_by = [*unblinded_by, EARLIER]
        last = reviews.last(session, dataset.id, reviewer)
        tags = list(reviews.tags_in_use(session, dataset.id))
    _warn(unblinded_by)
    progress.progress(done / total if total else 0.0, f"{done:,} of {total:,} reviewed")
    place = st.empty()  # reserves its place, so that the viewer below keeps its zoom and window
    if problem := st.session_state.pop(PROBLEM, None):
        place.error(problem, icon=":material/error:")
    if shown is None:
        _nothing_left(dataset, total)
        _offer_undo(reviewer, last)
        return
    left, right = st.columns([5, 2], gap="large")
    with left:
        film.show(src=pictures.image_url(shown.sha256), alt="Chest radiograph", caption="Radiograph", heat=None)
    with right:
        if own is not None and not address.get("again"):
            revealed.show(dataset, own, view)
            st.button("Next", key="next", shortcut="n", type="primary", width="stretch", on_click=_go_on)
            st.button("Review again", key="again", width="stretch", on_click=partial(address.put, again=1))
        else:
            _form(shown, reviewer, own, tags, ", ".join(unblinded_by))
        _offer_undo(reviewer, last)


def _reader() -> str | None:
    """The name under which verdicts are stored: the logged-in user, or else the name in the URL; None, with a message,
    if there is no valid name."""
    known = login.reader()
    given = known or (address.get("reviewer") or "").strip()[: review_rules.NAME_LENGTH]
    name, problem = None, ""
    try:
        name = review_rules.name(given) if given else None
    except RefusedError as error:
        problem = f"This name cannot be used: {wording.plain(str(error))}."
    if known is None:
        _naming(name)
    if problem:
        st.error(problem, icon=":material/error:")
    elif name is None:
        st.info("Enter your name first: each verdict is stored with it.", icon=":material/badge:")
    return name


def _naming(name: str | None) -> None:
    """A field for the reader's name; a given name is shown as text, so that the viewer gets the keyboard."""
    if name is None:
        limit = review_rules.NAME_LENGTH
        address.words("Your name", name="reviewer", placeholder="Stored with each verdict", limit=limit)
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"Reader: **{wording.plain(name)}**", width="content")
        st.button(
            "Change", key="rename", help="Review under another name", on_click=partial(address.put, reviewer=None)
        )


def _unblinded_by(question: Question, named: Film | None) -> list[str]:
    """What unblinds the reader: the queue's filters, the case page, or an earlier verdict. named: the image that the
    URL names, if any."""
    if named is not None and address.number("image") is not None:
        return [CASE]
    if address.get("again"):
        return [EARLIER]
    return sorted({UNBLINDING.get(name, name) for name in cases.given(question) - BLIND})


def _warn(unblinded_by: list[str]) -> None:
    """Say so if a verdict is not blind."""
    if not unblinded_by:
        return
    selected = [name for name in unblinded_by if name not in (CASE, EARLIER)]
    why = f"This queue was selected by {' and '.join(selected)}, which reveals something about its images."
    if CASE in unblinded_by:
        why = "You came from the case page, which shows label and prediction."
    elif not selected:
        why = "Label and prediction may have been shown after your earlier verdict."
    st.warning(f"{why} Your verdict is stored but does not count as blind.", icon=":material/visibility:")


def _hash(name: str) -> str | None:
    """An image's hash prefix in the URL, or None if it is something else."""
    text = address.get(name) or ""
    return text if len(text) == reviews.PREFIX and set(text) <= set("0123456789abcdef") else None


def _named(session: Session, dataset: Dataset) -> Film | None:
    """The image that the URL names: one just reviewed or undone, or an image by its number."""
    name, number = _hash("film"), address.number("image")
    if name is not None:
        return reviews.named(session, dataset.id, name)
    found = reviews.film(session, dataset.id, number) if number is not None else None
    if found is None and address.get("image"):
        st.info(f"Dataset {wording.plain(dataset.name)} has no such image; showing the queue instead.")
    return found


def _form(shown: Film, reviewer: str, own: ListedReview | None, tags: list[str], unblinded_by: str) -> None:
    """Buttons for the four verdicts, tags and a note; a verdict stores all of them."""
    if own is not None:
        st.caption("You have reviewed this image before. A new verdict supersedes the earlier one, which is kept.")
    since = own.review.id if own else None
    for number, (verdict, words) in enumerate(VERDICTS.items(), start=1):
        give = partial(_give, shown, reviewer, verdict, unblinded_by, since)
        st.button(words, key=f"{verdict}_{shown.name}", shortcut=str(number), width="stretch", on_click=give)
    st.multiselect(
        "Tags",
        tags,
        key=_key("tags", shown),
        accept_new_options=True,
        max_selections=review_rules.TAGS,
        placeholder="Choose or type",
    )
    st.text_area("Note", key=_key("note", shown), max_chars=review_rules.NOTE_LENGTH, height=100)
    st.button("Skip for now", key=f"skip_{shown.name}", shortcut="n", width="stretch", on_click=partial(_skip, shown))


def _key(what: str, shown: Film) -> str:
    return f"{what}_{shown.name}"


def _give(shown: Film, reviewer: str, verdict: str, unblinded_by: str, since: int | None) -> None:
    """Store the form; if that fails, its contents are kept."""
    note = st.session_state.get(_key("note", shown)) or ""
    tags = st.session_state.get(_key("tags", shown)) or []
    stored = False

    def store(session: Session) -> None:
        nonlocal stored
        made = writes.review(
            session,
            image_id=shown.image_id,
            reviewer=reviewer,
            verdict=verdict,
            note=note,
            tags=tags,
            unblinded_by=unblinded_by,
            since=since,
        )
        stored = made is not None

    if not _written(store, "The verdict was not stored"):
        return
    if not stored:  # a second click, or a second tab
        with resources.reading() as session:
            now = reviews.latest(session, shown.image_id, reviewer)
        kept = None if now is None else (now.review.verdict, now.review.note or "", {*now.tags})
        if now is not None and kept != (verdict, review_rules.note(note), {*review_rules.tags(list(tags))}):
            st.session_state[PROBLEM] = (
                f"You reviewed this image in the meantime as {VERDICTS[now.review.verdict].lower()}; "
                f"{VERDICTS[verdict].lower()} was not stored, nor were the tags and note below. Give the "
                "verdict again to replace it."
            )
            address.put(film=shown.name, image=None, again=1)
            return
    hidden = address.get(ANSWER) == "hide" and address.number("image") is None
    address.put(film=None if hidden else shown.name, image=None, again=None)


def _skip(shown: Film) -> None:
    address.put(after=shown.name, film=None, image=None, again=None)


def _go_on() -> None:
    address.put(film=None, image=None, again=None)


def _offer_undo(reviewer: str, last: ListedReview | None) -> None:
    if last is None:
        return
    verdict = f"{VERDICTS.get(last.review.verdict, last.review.verdict).lower()}, {wording.ago(last.review.created)}"
    st.button(
        "Undo last verdict",
        key=f"undo_{last.review.id}",
        shortcut="u",
        width="stretch",
        help=wording.plain(f"Removes: {verdict}"),
        on_click=partial(_undo, reviewer, last.review.id, last.image.sha256[: reviews.PREFIX]),
    )


def _undo(reviewer: str, review_id: int, name: str) -> None:
    """Undo a verdict and show its image again; a second click has no effect."""
    if _written(partial(writes.take_back, review_id=review_id, reviewer=reviewer), "The verdict was not undone"):
        address.put(film=name, image=None, again=1)


def _written(work: Callable[[Session], object], failed: str) -> bool:
    """Whether the work was committed; if not, the page shows the reason in one line."""
    try:
        with resources.writing() as session:
            work(session)
    except RefusedError as error:
        st.session_state[PROBLEM] = f"{failed}: {wording.plain(str(error))}."
    except (DBAPIError, DatabaseUnavailableError) as error:
        why = wording.plain(cause(error))
        st.session_state[PROBLEM] = f"{failed}: {why}. Try again; nothing you entered is lost."
    else:
        return True
    return False


def _nothing_left(dataset: Dataset, total: int) -> None:
    if total:
        st.success(f"All {wording.count(total, 'image')} in this queue have been reviewed.", icon=":material/done_all:")
    else:
        st.info("No image matches the filters of this queue.")
        page, kept = frame.FOLDER / "reviews.py", frame.kept(dataset)
        st.page_link(page, label="Whole queue", icon=":material/filter_alt_off:", query_params=kept)
