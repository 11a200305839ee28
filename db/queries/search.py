"""What a search reads: the reports that hold a text's words, best first, whatever a user types; indexes and images."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, column, func, literal_column, select, table
from sqlalchemy.orm import Session

from db.models import Image, Report
from db.queries import cases
from db.queries.cases import Question

WORDS = 32
"""Distinct words of a query that are looked for; the rest is left out."""
EXAMINED = 5000
"""Reports that are read at most, best first, to find those that say what is meant."""
OPEN, CLOSE = "\N{LEFT-POINTING DOUBLE ANGLE QUOTATION MARK}", "\N{RIGHT-POINTING DOUBLE ANGLE QUOTATION MARK}"
"""What a found word stands between in a snippet."""

FULL_TEXT: Any = table("report_text", column("rowid"), column("report_text"))
"""SQLite's FTS5 table over report.text; its hidden column of the same name stands for the whole row."""
ENGLISH: Any = literal_column("'english'")


@dataclass(frozen=True)
class TextHit:
    """An image with the report of its that answers best."""

    image: Image
    report_id: int
    model: str
    strategy: str
    score: float
    """Higher is better; compares within one answer alone (bm25 on SQLite, ts_rank on PostgreSQL)."""
    snippet: str
    """The words around the hit, found ones between OPEN and CLOSE."""


def words(text: str) -> list[str]:
    """The distinct words of a query, in lower case: letters, digits and nothing that a query language could read."""
    return list(dict.fromkeys(re.findall(r"[^\W_]+", text.lower())))[:WORDS]


def reports(
    session: Session,
    question: Question,
    text: str,
    *,
    limit: int,
    passes: Callable[[str], bool] = lambda _: True,
) -> list[TextHit]:
    """The images of the question whose reports hold any of the words, those with more and rarer words first, each once.

    passes: tells from a report's text whether it says what is meant; of the best EXAMINED reports at most. A report
    belongs to a picture's content, so every dataset with that picture shows it. A text without words finds nothing.
    """
    wanted = words(text)
    if not wanted:
        return []
    sqlite = session.get_bind().dialect.name == "sqlite"
    query = _fts5(wanted) if sqlite else _tsvector(wanted)
    query = query.join(Image, Image.sha256 == Report.image_sha256).where(Image.id.in_(cases.matching(question)))
    best: dict[int, tuple[int, float]] = {}
    for report_id, score, image_id, said in session.execute(query.add_columns(Image.id, Report.text).limit(EXAMINED)):
        if image_id not in best and passes(said):
            best[image_id] = report_id, score
        if len(best) == limit:
            break
    chosen = [report_id for report_id, _ in best.values()]
    shown = _snippets_fts5(session, wanted, chosen) if sqlite else _snippets_tsvector(session, wanted, chosen)
    images = {image.id: image for image in session.scalars(select(Image).where(Image.id.in_(best)))}
    rows = {row.id: row for row in session.scalars(select(Report).where(Report.id.in_(chosen)))}
    return [
        TextHit(images[image_id], number, rows[number].model, rows[number].strategy, score, shown[number])
        for image_id, (number, score) in best.items()
    ]


def any_report(session: Session, dataset_id: int) -> bool:
    """Whether an image of the dataset has a report at all."""
    query = select(Report.id).join(Image, Image.sha256 == Report.image_sha256).where(Image.dataset_id == dataset_id)
    return session.scalar(query.limit(1)) is not None


def by_content(session: Session, dataset_id: int, sha256: str) -> Image | None:
    """The dataset's image with exactly these bytes, or None."""
    return session.scalars(select(Image).where(Image.dataset_id == dataset_id, Image.sha256 == sha256)).first()


def _fts5(wanted: Sequence[str]) -> Select[*tuple[Any, ...]]:
    score = -func.bm25(FULL_TEXT.c.report_text)
    query = select(Report.id, score).select_from(FULL_TEXT).join(Report, Report.id == FULL_TEXT.c.rowid)
    return query.where(_match(wanted)).order_by(score.desc(), Report.id)


def _match(wanted: Sequence[str]) -> Any:
    return FULL_TEXT.c.report_text.op("MATCH")(" OR ".join(f'"{word}"' for word in wanted))


def _snippets_fts5(session: Session, wanted: Sequence[str], report_ids: Sequence[int]) -> dict[int, str]:
    shown = func.snippet(FULL_TEXT.c.report_text, 0, OPEN, CLOSE, "\N{HORIZONTAL ELLIPSIS}", 20)
    query = select(FULL_TEXT.c.rowid.label("id"), shown.label("shown")).where(
        _match(wanted), FULL_TEXT.c.rowid.in_(report_ids)
    )
    return {row.id: row.shown for row in session.execute(query)}


def _tsvector(wanted: Sequence[str]) -> Select[*tuple[Any, ...]]:
    vector, asked = func.to_tsvector(ENGLISH, Report.text), _tsquery(wanted)
    score = func.ts_rank(vector, asked)
    return select(Report.id, score).where(vector.op("@@")(asked)).order_by(score.desc(), Report.id)


def _tsquery(wanted: Sequence[str]) -> Any:
    return func.to_tsquery(ENGLISH, " | ".join(f"'{word}'" for word in wanted))


def _snippets_tsvector(session: Session, wanted: Sequence[str], report_ids: Sequence[int]) -> dict[int, str]:
    options = f"StartSel={OPEN}, StopSel={CLOSE}, MinWords=8, MaxWords=20, MaxFragments=1"
    shown = func.ts_headline(ENGLISH, Report.text, _tsquery(wanted), options)
    query = select(Report.id, shown.label("shown")).where(Report.id.in_(report_ids))
    return {row.id: row.shown for row in session.execute(query)}
