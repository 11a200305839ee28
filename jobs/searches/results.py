"""A search's result, and its output as a table, JSON, CSV, or an image of the query and its hits."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from db.models import Dataset
from db.queries.cases import LABEL_NAMES, LABELS
from db.queries.predictions import KnownImage
from engine.files import whole_file
from engine.imaging.images import Ingested, read_grey
from engine.retrieval.neighbours import vote
from engine.tables import csv_text, json_text
from jobs.command import JobError

if TYPE_CHECKING:
    from engine.documents.contact_sheets import Sample


@dataclass(frozen=True)
class Hit:
    """One hit. similarity: cosine in [-1, 1], or a text score that is comparable only within one answer."""

    rank: int
    similarity: float
    case: int
    split: str | None
    label: str
    cause: str | None
    path: str
    sha256: str
    """Of the ingested file."""
    snippet: str | None = None


def to_hit(rank: int, similarity: float, image: KnownImage, snippet: str | None = None) -> Hit:
    """The hit for an image."""
    facts = (image.split, LABEL_NAMES[image.label], image.cause, image.path, image.sha256)
    return Hit(rank, similarity, image.image_id, *facts, snippet)


@dataclass(frozen=True)
class SearchResult:
    """The hits, what was searched, and notes for the user."""

    hits: list[Hit]
    answered_by: str
    notes: list[str]
    embedder: str | None = None
    """The embedder of the index that was searched; None for a search of notes and reports."""


def as_csv(answer: SearchResult) -> str:
    """The hits as CSV, one line each."""
    columns = [field.name for field in fields(Hit)]
    return csv_text(columns, [[getattr(hit, name) for name in columns] for hit in answer.hits])


def show(dataset: Dataset, answer: SearchResult, *, as_json: bool, narrowed: bool) -> None:
    """Print the answer as a table with the neighbours' vote, or as JSON. narrowed: filtered by more than the split,
    which makes the vote meaningless, so that the table omits it."""
    counted = vote([LABELS[hit.label] for hit in answer.hits])
    if as_json:
        voted = {"pneumonia": counted.pneumonia, "known": counted.known, "share": counted.share}
        whole = {"dataset": dataset.name, "synthetic": dataset.synthetic, **asdict(answer), "vote": voted}
        print(json_text(whole, indent=1))
        return
    print(f"dataset '{dataset.name}'{' (SYNTHETIC)' if dataset.synthetic else ''}, answered by {answer.answered_by}")
    for note in answer.notes:
        print(f"note: {note}")
    if not answer.hits:
        print("no case matches")
        return
    by_words = answer.hits[0].snippet is not None
    print(f"{'rank':>4} {'' if by_words else 'similarity':>10} {'case':>7} {'split':<5} {'label':<9} {'cause':<9} path")
    for hit in answer.hits:
        facts = f"{hit.split or '-':<5} {hit.label:<9} {hit.cause or '-':<9} {hit.path}"
        similarity = "" if by_words else f"{hit.similarity:.4f}"
        print(f"{hit.rank:>4} {similarity:>10} {hit.case:>7} {facts}")
        if hit.snippet:
            print(f"{'':>15} {hit.snippet}")
    if not by_words and not narrowed:
        print(f"neighbours' vote: {counted.pneumonia} of {counted.known} labelled hits are pneumonia")


def write_grid(path: Path, dataset: Dataset, answer: SearchResult, query: "Sample | str") -> None:
    """Draw the query, an image or text, and its hits as a PNG; a hit is green if it has the query image's label and
    orange if it has the other.

    Raises InputError if a hit's file cannot be read or has changed since it was ingested; JobError if the PNG cannot be
    written.
    """
    from engine.documents.contact_sheets import Hit as Tile
    from engine.documents.contact_sheets import Retrieval, Sample, TextRetrieval, retrieval_grid, text_retrieval_grid

    root = Path(dataset.root)
    tiles = tuple(
        Tile(
            Sample(Path(hit.path).name, read_grey(Ingested(root / hit.path, hit.sha256)), LABELS[hit.label]),
            hit.similarity,
        )
        for hit in answer.hits
    )
    if isinstance(query, str):
        found = TextRetrieval(query, tiles)
        picture = text_retrieval_grid([found], embedder=answer.embedder, synthetic=dataset.synthetic)
    else:
        seen = Retrieval(query, tiles)
        picture = retrieval_grid([seen], embedder=answer.embedder or "", synthetic=dataset.synthetic)
    try:
        with whole_file(path) as temporary:
            picture.save(temporary, format="PNG")
    except OSError as error:
        raise JobError(f"--grid {path} cannot be written ({error.strerror}); choose another file") from error
