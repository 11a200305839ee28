"""Download of a list of reports as CSV, generated on request."""

from collections.abc import Iterator
from typing import Any

import streamlit as st

from dashboard import resources
from dashboard.components import filters
from dashboard.components.reports import report_view
from db.batches import batches
from db.models import Dataset
from db.queries import cases, reports
from db.queries.reports import ReportQuestion
from engine.tables import csv_text

MOST = 20_000
"""Maximum number of reports in a file."""
SCORES = (
    *("stance_agreement", "classifier_agreement", "keyword_alignment", "unsupported", "contradictions", "laterality"),
    *("format", "words", "repetition", "truncated", "bleu", "rouge_l", "chrf"),
)
COLUMNS = (
    *("id", "image", "file", "sha256", "split", "label", "cause", "patient", "run", "probability", "outcome"),
    *("model", "revision", "strategy", "text", "stance", "problems", *SCORES, "seconds", "tokens", "created"),
)


def button(dataset: Dataset, question: ReportQuestion, view: filters.View, *, disabled: bool) -> None:
    """A download button for all reports that match, in list order. view: the run whose outcomes are included."""
    st.download_button(
        "CSV",
        lambda: as_csv(question, view).encode(),
        file_name=f"{dataset.name}-reports.csv",
        mime="text/csv",
        on_click="ignore",
        disabled=disabled,
        help=f"At most {MOST:,} reports, in list order.",
    )


def as_csv(question: ReportQuestion, view: filters.View) -> str:
    """CSV with a header line and a line for each report."""
    return csv_text(COLUMNS, ([row[name] for name in COLUMNS] for row in rows(question, view)))


def rows(question: ReportQuestion, view: filters.View) -> Iterator[dict[str, Any]]:
    """One row for each report and its image with a value for each of COLUMNS; None if unknown."""
    run_id, threshold = view.question.run_id, view.question.threshold
    with resources.reading() as session:
        for part in batches(reports.ids(session, question, limit=MOST)):
            found = reports.rows(session, question.dataset_id, part)
            known = cases.several(session, [row.image.id for row in found], run_id=run_id, threshold=threshold)
            for stored in found:
                report, case = stored.report, known[stored.image.id]
                row = report_view.of_run(stored, case, threshold)
                yield {
                    **{"id": report.id, "image": case.id, "file": case.path, "sha256": case.sha256},
                    **{"split": case.split, "label": case.label, "cause": case.cause, "patient": case.patient_key},
                    **{"run": run_id, "probability": case.probability, "outcome": case.outcome},
                    **{"model": report.model, "revision": report.revision, "strategy": report.strategy},
                    **{"text": report.text, "stance": row.stance, "problems": "; ".join(report_view.problems(row))},
                    **{name: row.scores.get(name) for name in SCORES},
                    **{"seconds": report.seconds, "tokens": report.tokens, "created": report.created.isoformat()},
                }
