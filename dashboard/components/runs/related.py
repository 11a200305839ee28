"""Links from a run to the pages that show what it made, the runs whose results it read, and those that read its."""

from collections.abc import Iterable, Iterator
from itertools import islice

from sqlalchemy.orm import Session

from dashboard import resources
from dashboard.components import frame
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from dashboard.components.runs import naming
from db.models import Dataset, Run
from db.queries import evaluation, runs

Link = tuple[str, str, dict[str, object]]
"""What it says, the page, and the page's parameters."""
READERS = 10
"""Runs that read the run's results, of which those longest out of force are left out."""


def show(dataset: Dataset, run: Run) -> None:
    """The links in a row; none where nothing belongs to the run. dataset: the run's."""
    with resources.reading() as session:
        pages = list(_pages(session, run)) if run.status == "finished" else []
        readers = islice(_told_apart(runs.readers(session, run)), READERS)
        others = [*runs.sources(session, run), *sorted(readers, key=lambda reader: reader.kind)]
    links = [*pages, *map(_to, others)]
    if not links:
        return
    steps = [Cell(said, frame.here(page, dataset, **parameters)) for said, page, parameters in links]
    linked.row([Cell("Related:"), *steps], key="related", left=True)


def _pages(session: Session, run: Run) -> Iterator[Link]:
    """The pages that show what a finished run made; where they show a later run of its kind, that run."""
    kind, embedder = run.kind, run.config.get("embedder")
    if kind in ("predict", "train"):
        yield "Its cases" if kind == "predict" else "Its out-of-fold cases", "cases", {"run": run.id}
    elif kind == "report":
        yield "Its reports", "reports", {"model": run.config["model"]} if "model" in run.config else {}
    elif kind in ("map", "duplicates", "embed"):
        shown: dict[str, Link] = {
            "map": ("Map", "map", {}),
            "duplicates": ("Cases with twins", "cases", {"twins": "any"}),
            "embed": ("Search by its index", "search", {"index": embedder}),
        }
        current = _in_force(session, run)
        if current is not None:
            yield shown[kind] if current.id == run.id else _to(current, "in force")


def _in_force(session: Session, run: Run) -> Run | None:
    """The run whose results the pages show: of its kind, of indexes of its embedder as well."""
    if run.dataset_id is None or run.kind != "embed":
        return runs.in_force(session, run.kind, run.dataset_id)
    held = {index.embedder: index.run_id for index in evaluation.indexes(session, run.dataset_id)}
    return runs.find(session, held.get(run.config.get("embedder", ""), 0))


def _told_apart(several: Iterable[Run]) -> Iterator[Run]:
    """The runs without repetitions: of several that would have the same link text, the first."""
    seen = set()
    for run in several:
        said = (run.kind, *naming.telling(run))
        if said not in seen:
            seen.add(said)
            yield run


def _to(run: Run, *more: str) -> Link:
    return ", ".join([f"Run {run.id}", run.kind, *naming.telling(run), *more]), "runs", {"run": run.id}
