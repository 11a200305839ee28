"""Download of a list of cases as CSV or JSON lines, generated on request."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import streamlit as st

from dashboard import resources
from dashboard.components import filters
from db.batches import batches
from db.models import Dataset
from db.queries import attributes, audit, cases, reviews
from engine.tables import csv_text, json_text

MOST = 200_000
"""Maximum number of cases in a file."""
COLUMNS = (
    *("image", "file", "sha256", "split", "label", "cause", "patient", "copies", "run", "probability", "threshold"),
    *("outcome", "error", "fold", "zones", "attributes", "tags", "under_stress"),
)


def buttons(dataset: Dataset, view: filters.View, picked: Callable[[], Sequence[int]], *, disabled: bool) -> None:
    """Two download buttons, for the selected cases or, if none is selected, for all that match, in list order. picked:
    returns the selected ids when a file is requested."""
    kinds: tuple[tuple[str, str, str, Callable[[Iterator[dict[str, Any]]], str]], ...] = (
        ("CSV", "csv", "text/csv", as_csv),
        ("JSON lines", "jsonl", "application/jsonl", as_json_lines),
    )
    for name, ending, mime, write in kinds:
        st.download_button(
            name,
            partial(_made, write, view, picked),
            file_name=f"{dataset.name}-cases.{ending}",
            mime=mime,
            on_click="ignore",
            disabled=disabled,
            help=f"At most {MOST:,} cases, in list order.",
        )


def _made(
    write: Callable[[Iterator[dict[str, Any]]], str], view: filters.View, picked: Callable[[], Sequence[int]]
) -> bytes:
    return write(rows(view, picked())).encode()


def rows(view: filters.View, picked: Sequence[int]) -> Iterator[dict[str, Any]]:
    """One row for each case with a value for each of COLUMNS; None if unknown. under_stress: the probability under the
    stress that cases are filtered by."""
    question = view.question
    with resources.reading() as session:
        wanted = picked or cases.listed(session, question, limit=MOST)
        for part in batches(wanted):
            found = cases.several(session, part, run_id=question.run_id, threshold=question.threshold)
            tags, films = reviews.tags_of(session, part), attributes.of_images(session, part)
            stressed = audit.under_stress(session, *question.changed_under, part) if question.changed_under else {}
            for case in (found[number] for number in part if number in found):
                known = case.probability is not None and case.label is not None
                yield {
                    **{"image": case.id, "file": case.path, "sha256": case.sha256, "split": case.split},
                    **{"label": case.label, "cause": case.cause, "patient": case.patient_key},
                    **{"copies": case.file_count, "run": question.run_id, "probability": case.probability},
                    **{"threshold": question.threshold, "outcome": case.outcome},
                    "error": abs((case.probability or 0.0) - (case.label or 0)) if known else None,
                    **{"fold": case.fold, "zones": case.zones, "attributes": films.get(case.id, {})},
                    **{"tags": tags.get(case.id, []), "under_stress": stressed.get(case.id)},
                }


def as_csv(found: Iterator[dict[str, Any]]) -> str:
    """CSV with a header line; zones, attributes and tags as JSON."""

    def flat(value: Any) -> Any:
        return json_text(value) if isinstance(value, dict | list) else value

    return csv_text(COLUMNS, ([flat(row[name]) for name in COLUMNS] for row in found))


def as_json_lines(found: Iterator[dict[str, Any]]) -> str:
    """One JSON object per line."""
    return "".join(f"{json_text(row)}\n" for row in found)
