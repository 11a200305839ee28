"""Full-text search in notes and reports, best first, safe for any input."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlalchemy import Result, Select, column, func, literal_column, null, select, table
from sqlalchemy.orm import Session

from db.batches import batches
from db.models import Image, Report, Review
from db.queries import cases
from db.queries.cases import Question

WORDS = 32
"""Maximum number of distinct words of a query that are used."""
EXAMINED = 5000
"""Maximum number of distinct texts that are tested with `passes`, best first."""
AT_ONCE = 500
"""Number of texts fetched at a time."""
OPEN, CLOSE = "\N{LEFT-POINTING DOUBLE ANGLE QUOTATION MARK}", "\N{RIGHT-POINTING DOUBLE ANGLE QUOTATION MARK}"
"""Marks around a found word in a snippet."""

ENGLISH: Any = literal_column("'english'")


@dataclass(frozen=True)
class _Texts:
    """A searchable source of texts: on SQLite an FTS5 table, on PostgreSQL an expression index."""

    kind: Literal["note", "report"]
    index: Any
    id: Any
    text: Any
    image: Any
    """Condition that joins a text to its image."""


def _fts5_table(name: str) -> Any:
    """An FTS5 table, with its hidden column of the same name, which represents the whole row."""
    return table(name, column("rowid"), column(name))


NOTES = _Texts("note", _fts5_table("review_text"), Review.id, Review.note, Image.id == Review.image_id)
REPORTS = _Texts("report", _fts5_table("report_text"), Report.id, Report.text, Image.sha256 == Report.image_sha256)


@dataclass(frozen=True)
class TextHit:
    """An image with its best matching text: a reviewer's note or a generated report."""

    image: Image
    kind: Literal["note", "report"]
    text_id: int
    """Id of the review or report."""
    author: str
    """Reviewer or model."""
    strategy: str | None
    """Prompt strategy of a report."""
    score: float
    """Higher is better; comparable only within one answer and kind (bm25 on SQLite, ts_rank on PostgreSQL)."""
    snippet: str
    """The text around the hit, with found words between OPEN and CLOSE."""


@dataclass(frozen=True)
class TextAnswer:
    """The result of a full-text search, best first."""

    hits: list[TextHit]
    unread: bool = False
    """Whether more texts contain the words than were tested."""
    otherwise: Sequence[TextHit] = ()
    """If there is no hit: a text that contains the words but asserts something else about what they name."""
    limits: Sequence[str] = ()
    """Warnings about parts of the query or texts that were not considered; a clause each."""


UNREAD = f"only the first {EXAMINED:,} different texts that hold these words were read; more words would narrow them"
"""The warning for an answer with `unread`."""
UNWRITTEN = "no image that passes the filters has a note or a report"
"""The warning for an answer without hits for that reason."""


def words(text: str) -> list[str]:
    """The first WORDS distinct words of a query, in lower case: only letters and digits, no query syntax."""
    return _distinct(text)[:WORDS]


def left_out(text: str) -> str | None:
    """A warning that a query has more than WORDS distinct words, or None."""
    count = len(_distinct(text))
    return f"only the first {WORDS} of the {count:,} different words are looked for" if count > WORDS else None


def _distinct(text: str) -> list[str]:
    """The distinct words, in NFC: a decomposed accent would not count as a word character."""
    return list(dict.fromkeys(re.findall(r"[^\W_]+", unicodedata.normalize("NFC", text.lower()))))


def texts(
    session: Session,
    question: Question,
    text: str,
    *,
    limit: int,
    passes: Callable[[str], bool] = lambda _: True,
) -> TextAnswer:
    """The images of the question whose notes or reports contain any of the words, each once: hits in notes before hits
    in reports, texts with more and rarer words first.

    passes: whether a text asserts what is meant; it is applied to at most EXAMINED distinct texts of each kind. A
    report belongs to an image's content, so every dataset with that image shows it. A query without words finds
    nothing.
    """
    wanted = words(text)
    if not wanted:
        return TextAnswer([])
    found: dict[int, TextHit] = {}
    unread = False
    for source in (NOTES, REPORTS):
        answer = _hits(session, source, question, wanted, limit=limit, passes=passes)
        unread |= answer.unread
        for hit in answer.hits:
            found.setdefault(hit.image.id, hit)
    return TextAnswer(list(found.values())[:limit], unread)


def answer(
    session: Session,
    question: Question,
    text: str,
    *,
    limit: int,
    passes: Callable[[str], bool],
    mentions: Callable[[str], bool],
) -> TextAnswer:
    """As `texts`, with warnings and, if there is no hit, a near miss. mentions: whether a text mentions what the words
    name, whatever it asserts about it."""
    found = texts(session, question, text, limit=limit, passes=passes)
    otherwise = [] if found.hits else texts(session, question, text, limit=1, passes=mentions).hits
    unwritten = not found.hits and not any_text(session, question)
    limits = [UNREAD if found.unread else None, UNWRITTEN if unwritten else None, left_out(text)]
    return replace(found, otherwise=otherwise, limits=[one for one in limits if one])


def _hits(
    session: Session,
    source: _Texts,
    question: Question,
    wanted: Sequence[str],
    *,
    limit: int,
    passes: Callable[[str], bool],
) -> TextAnswer:
    """The hits in one source."""
    sqlite = session.get_bind().dialect.name == "sqlite"
    query = _fts5(source, wanted) if sqlite else _tsvector(source, wanted)
    matching = cases.matching_held_out(session, question)
    number = Image.id + 0  # else SQLite seeks every matching image for every text
    query = query.join(Image, source.image).where(number.in_(matching))
    best, unread = _read(session, source, session.execute(query.add_columns(Image.id)), limit=limit, passes=passes)
    snippets = _snippets_fts5 if sqlite else _snippets_tsvector
    author: tuple[Any, Any] = (Report.model, Report.strategy) if source is REPORTS else (Review.reviewer, null())
    hits = []
    for part in batches(best.items()):
        chosen = [number for _, (number, _) in part]
        shown = snippets(session, source, wanted, chosen)
        found = select(Image).where(Image.id.in_([image_id for image_id, _ in part]))
        images = {image.id: image for image in session.scalars(found)}
        authors = select(source.id, *author).where(source.id.in_(chosen))
        by = {row[0]: (row[1], row[2]) for row in session.execute(authors)}
        hits += [
            TextHit(images[image_id], source.kind, number, by[number][0], by[number][1], score, shown[number])
            for image_id, (number, score) in part
        ]
    return TextAnswer(hits, unread)


def _read(
    session: Session, source: _Texts, rows: Result[*tuple[Any, ...]], *, limit: int, passes: Callable[[str], bool]
) -> tuple[dict[int, tuple[int, float]], bool]:
    """Image id -> (text id, score) of its best text that passes, for up to `limit` images; and whether this stopped at
    EXAMINED distinct texts. rows: (text id, score, image id), best first."""
    best: dict[int, tuple[int, float]] = {}
    passing: dict[str, bool] = {}
    while part := rows.fetchmany(AT_ONCE):
        several = select(source.id, source.text).where(source.id.in_([row[0] for row in part]))
        contents = {row[0]: row[1] for row in session.execute(several)}
        for text_id, score, image_id in part:
            if image_id in best:
                continue
            text = contents[text_id]
            if text not in passing:
                if len(passing) == EXAMINED:
                    return best, True
                passing[text] = passes(text)
            if passing[text]:
                best[image_id] = text_id, score
                if len(best) == limit:
                    return best, False
    return best, False


def any_text(session: Session, question: Question) -> bool:
    """Whether an image of the question has a report, or a review with a note."""
    matching = Image.id.in_(cases.matching_held_out(session, question))
    noted = select(Review.id).join(Image, NOTES.image).where(matching, Review.note != "")
    reported = select(Report.id).join(Image, REPORTS.image).where(matching)
    return any(session.scalar(query.limit(1)) is not None for query in (reported, noted))


def by_content(session: Session, dataset_id: int, sha256: str) -> Image | None:
    """The dataset's image with exactly these bytes, or None."""
    return session.scalars(select(Image).where(Image.dataset_id == dataset_id, Image.sha256 == sha256)).first()


def _fts5(source: _Texts, wanted: Sequence[str]) -> Select[*tuple[Any, ...]]:
    score = -func.bm25(source.index.c[source.index.name])
    query = select(source.id, score).select_from(source.index)
    query = query.join(source.id.class_, source.id == source.index.c.rowid)
    return query.where(_match(source, wanted)).order_by(score.desc(), source.id)


def _match(source: _Texts, wanted: Sequence[str]) -> Any:
    return source.index.c[source.index.name].op("MATCH")(" OR ".join(f'"{word}"' for word in wanted))


def _snippets_fts5(session: Session, source: _Texts, wanted: Sequence[str], chosen: Sequence[int]) -> dict[int, str]:
    whole, rowid = source.index.c[source.index.name], source.index.c.rowid
    shown = func.snippet(whole, 0, OPEN, CLOSE, "\N{HORIZONTAL ELLIPSIS}", 20)
    query = select(rowid.label("id"), shown.label("shown")).where(_match(source, wanted), rowid.in_(chosen))
    return {row.id: row.shown for row in session.execute(query)}


def _tsvector(source: _Texts, wanted: Sequence[str]) -> Select[*tuple[Any, ...]]:
    vector, asked = func.to_tsvector(ENGLISH, source.text), _tsquery(wanted)
    score = func.ts_rank(vector, asked)
    return select(source.id, score).where(vector.op("@@")(asked)).order_by(score.desc(), source.id)


def _tsquery(wanted: Sequence[str]) -> Any:
    return func.to_tsquery(ENGLISH, " | ".join(f"'{word}'" for word in wanted))


def _snippets_tsvector(
    session: Session, source: _Texts, wanted: Sequence[str], chosen: Sequence[int]
) -> dict[int, str]:
    options = f"StartSel={OPEN}, StopSel={CLOSE}, MinWords=8, MaxWords=20, MaxFragments=1"
    shown = func.ts_headline(ENGLISH, source.text, _tsquery(wanted), options)
    query = select(source.id.label("id"), shown.label("shown")).where(source.id.in_(chosen))
    return {row.id: row.shown for row in session.execute(query)}
