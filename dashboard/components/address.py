"""Page state in the URL: widgets that read their value from it and write it back.

The URL holds what decides what a page shows, uploads apart: every rerun reads it first, so links, reloads
and the browser's back and forward all work. Session state holds uploads, unsaved input, one-time messages, serial
numbers of events, and defaults that every rerun determines again.
(Streamlit's own bind="query-params" replaces history entries and ignores links to the page it is on.)
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from unicodedata import category
from urllib.parse import urlencode

import streamlit as st

PAGE, BACK = "page", "back"
PINNED = "pinned_parameters"
"""Session key: the arguments of `pin` since `unpin`."""
TOLD = "told_query"
"""Session key: the query that the browser was last told."""


def get(name: str) -> str | None:
    """The parameter's value without control characters, which databases reject; None if it is absent or empty."""
    return "".join(one for one in st.query_params.get(name, "") if category(one) not in ("Cc", "Cs")) or None


def number(name: str, *, low: int = 0, high: int = 2**31 - 1) -> int | None:
    """The parameter as an integer in [low, high]; None if it is anything else."""
    return whole(get(name) or "", low=low, high=high)


def whole(text: str, *, low: int = 0, high: int = 2**31 - 1) -> int | None:
    """A text as an integer in [low, high]; None if it is anything else."""
    return int(text) if text.isdecimal() and len(text) < 11 and low <= int(text) <= high else None


def share(name: str, default: float) -> float:
    """The parameter as a number in [0, 1]; `default` if it is anything else."""
    try:
        value = float(get(name) or default)
    except ValueError:
        return default
    return value if 0.0 <= value <= 1.0 else default


def thousandth(name: str, default: float) -> float:
    """The parameter as a number in [0, 1]; `default` if it is anything else, or equals `default` when both are rounded
    to three decimals, as a slider shows them."""
    value = share(name, default)
    return default if round(value, 3) == round(default, 3) else value


def bounds(low: str = "low", high: str = "high") -> tuple[float, float]:
    """Two parameters as a range within [0, 1]; the whole range if they are invalid or in the wrong order."""
    first, last = share(low, 0.0), share(high, 1.0)
    return (first, last) if first <= last else (0.0, 1.0)


def link(path: str, /, **parameters: object) -> str:
    """URL of a page with these parameters; None values are left out."""
    given = {name: value for name, value in parameters.items() if value is not None}
    return f"/{path}?{urlencode(given)}" if given else f"/{path}"


def unpin() -> None:
    """Forget what the page drawn before has pinned."""
    st.session_state[PINNED] = {}


def pin(**parameters: object) -> None:
    """Fix parameters that the page chose by default, such as the current run: every later write to the URL and every
    link to the same view names them, so that the URL still shows the same after the default has changed."""
    given = {name: str(value) for name, value in parameters.items() if value is not None}
    st.session_state[PINNED] = pinned() | given


def pinned() -> dict[str, str]:
    """The pinned parameters."""
    return dict(st.session_state.get(PINNED, {}))


def onwards(**parameters: object) -> dict[str, object]:
    """The whole query in the URL and the pinned parameters, with these parameters changed, for a link to the same
    page."""
    apart = {PAGE, "dataset"}  # `frame.here` adds the dataset
    question = {name: value for name, value in st.query_params.to_dict().items() if name not in apart}
    return question | pinned() | parameters


def back_to(path: str) -> str:
    """The page with the whole query in the URL, as the parameter `back` with which a case links back to it."""
    return link(path, **onwards(page=get(PAGE))).removeprefix("/")


def put(**parameters: object) -> None:
    """Write these and the pinned parameters to the URL (None removes one); a changed query starts at its first page."""
    given = {name: str(value) for name, value in parameters.items()}
    kept = st.query_params.to_dict() | given | {name: value for name, value in pinned().items() if name not in given}
    absent = {name for name, value in parameters.items() if value is None}
    absent |= set() if PAGE in parameters else {PAGE}
    _tell({name: value for name, value in kept.items() if name not in absent})


def settle() -> None:
    """Synchronise the browser's URL with the page, after a link from a page to itself."""
    if st.session_state.get(TOLD) != st.query_params.to_dict():  # repeated after a step back, it would undo the step
        _tell(st.query_params.to_dict())


def _tell(query: dict[str, str]) -> None:
    """Make this the URL's query."""
    st.session_state[TOLD] = query
    st.query_params.from_dict(query)


def choice(
    label: str,
    options: Mapping[str, str],
    *,
    name: str,
    default: str | None = None,
    labelled: bool = True,
    drops: Sequence[str] = (),
) -> str | None:
    """Choose one of `options` (value in the URL -> display name), or `default`; drawn as buttons.

    labelled: False shows the label to screen readers only. drops: parameters that are removed when another option is
    chosen.
    """
    _show(name, _among(options, name, default))
    picked: str | None = st.segmented_control(
        label,
        list(options),
        required=default is not None,
        wrap=True,
        format_func=lambda value: options.get(value, value),
        label_visibility="visible" if labelled else "collapsed",
        **_bound(name, default, drops),
    )
    return picked or default


def menu(
    label: str,
    options: Mapping[str, str],
    *,
    name: str,
    default: str | None = None,
    placeholder: str = "All",
    drops: Sequence[str] = (),
    always: bool = False,
) -> str | None:
    """Choose one of `options` as `choice` does; drawn as a menu.

    placeholder: text without a selection. drops: see `choice`. always: write the default to the URL too.
    """
    _show(name, _among(options, name, default))
    picked: str | None = st.selectbox(
        label,
        list(options),
        index=None if default is None else 0,
        placeholder=placeholder,
        format_func=lambda value: options.get(value, value),
        **_bound(name, None if always else default, drops),
    )
    return picked or default


def share_range(label: str, *, low: str = "low", high: str = "high") -> tuple[float, float]:
    """A range within [0, 1], stored as two URL parameters."""
    key = _key(low)
    between = bounds(low, high)
    st.session_state[key] = between

    def changed() -> None:
        first, last = st.session_state[key]
        put(**{low: None if first == 0.0 else first, high: None if last == 1.0 else last})

    st.slider(label, 0.0, 1.0, step=0.01, key=key, on_change=changed)
    return between


def level(label: str, *, name: str, default: float, help: str | None = None) -> float:
    """A slider for a number in [0, 1], in steps of .001."""
    _show(name, thousandth(name, default))
    picked: float = st.slider(label, 0.0, 1.0, step=0.001, format="%.3f", help=help, **_bound(name, round(default, 3)))
    return picked


def numbers(name: str, *, most: int) -> list[int]:
    """The parameter's distinct integers in order, at most `most`; anything else is left out."""
    given = (get(name) or "").split(".")
    found = dict.fromkeys(int(text) for text in given if text.isdecimal() and len(text) < 11)
    return [number for number in found if number < 2**31][:most]


def words(label: str, *, name: str, placeholder: str = "", limit: int = 200) -> str:
    """A single-line text field."""
    _show(name, (get(name) or "")[:limit])
    typed: str = st.text_input(label, placeholder=placeholder, max_chars=limit, **_bound(name, ""))
    return typed.strip()


def page(total: int, size: int) -> int:
    """The page number in the URL, from 1, clamped to the existing pages."""
    return min(number(PAGE, low=1) or 1, _last(total, size))


def pages(total: int, size: int) -> None:
    """Page buttons, if there is more than one page."""
    if _last(total, size) > 1:
        _show(PAGE, page(total, size))
        st.pagination(_last(total, size), **_bound(PAGE, 1))


def _last(total: int, size: int) -> int:
    return max(1, -(-total // size))


def _key(name: str) -> str:
    return f"url_{name}"


def _show(name: str, value: object) -> None:
    st.session_state[_key(name)] = value


def _among(options: Mapping[str, str], name: str, default: str | None) -> str | None:
    """The parameter if it is one of `options`, else `default`."""
    value = get(name)
    return value if value in options else default


def _bound(name: str, default: object, drops: Sequence[str] = ()) -> dict[str, Any]:
    def changed() -> None:
        value = st.session_state[_key(name)]
        put(**dict.fromkeys(drops), **{name: None if value in (default, None, "") else value})

    bound: Callable[[], None] = changed
    return {"key": _key(name), "on_change": bound}
