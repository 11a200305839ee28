"""Links from a run to the pages with its results, to the runs whose results it used, and to the runs that used its
own."""

from collections.abc import Iterable, Iterator
from itertools import islice

from sqlalchemy.orm import Session

from dashboard import resources
from dashboard.components import frame
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from dashboard.components.runs import naming
from db.models import Dataset, Run
from db.queries import indexes, runs
from db.queries.lineage import Lineage

Link = tuple[str, str, dict[str, object]]
"""Text, page and the page's parameters."""
READERS = 10
"""Maximum number of linked runs that used the run's results; those current most recently are kept."""


def show(dataset: Dataset, run: Run) -> None:
    """The links in a row; nothing if there are none. dataset: the run's."""
    with resources.reading() as session:
        pages = list(_pages(session, run)) if run.status == "finished" else []
        known = Lineage.of(session)
        finished = [one for one in runs.among(session, known.readers.get(run.id, ())) if one.status == "finished"]
        finished.sort(key=lambda one: (one.current_since, one.id), reverse=True)
        readers = sorted(islice(_distinct(finished), READERS), key=lambda reader: reader.kind)
        others = [*runs.among(session, known.sources(run.id)), *readers]
    links = [*pages, *map(_to, others)]
    if not links:
        return
    steps = [Cell(text, frame.here(page, dataset, **parameters)) for text, page, parameters in links]
    linked.row([Cell("Related:"), *steps], key="related", left=True)


def _pages(session: Session, run: Run) -> Iterator[Link]:
    """The pages with the results of a finished run; for indexes and near-duplicates, of which pages show the current
    ones only, a later run instead."""
    kind, embedder = run.kind, run.config.get("embedder")
    if kind in ("predict", "train"):
        yield "Cases" if kind == "predict" else "Out-of-fold cases", "cases", {"run": run.id}
    elif kind == "report":
        yield "Reports", "reports", {"model": run.config["model"]} if "model" in run.config else {}
    elif kind == "map":
        yield "Map", "map", {"map": run.id}
    elif kind in ("duplicates", "embed"):
        shown: dict[str, Link] = {
            "duplicates": ("Cases with near-duplicates", "cases", {"twins": "any"}),
            "embed": ("Search with this index", "search", {"index": embedder}),
        }
        current = _current(session, run)
        if current is not None:
            yield shown[kind] if current.id == run.id else _to(current, "current")


def _current(session: Session, run: Run) -> Run | None:
    """The run whose results the pages show: the current one of this kind and, for indexes, of this embedder."""
    if run.dataset_id is None or run.kind != "embed":
        return runs.current(session, run.kind, run.dataset_id)
    held = {index.embedder: index.run_id for index in indexes.current(session, run.dataset_id)}
    return runs.find(session, held.get(run.config.get("embedder", ""), 0))


def _distinct(several: Iterable[Run]) -> Iterator[Run]:
    """The runs without duplicates: of several with the same link text, the first."""
    seen = set()
    for run in several:
        name = (run.kind, *naming.description(run))
        if name not in seen:
            seen.add(name)
            yield run


def _to(run: Run, *more: str) -> Link:
    return ", ".join([f"Run {run.id}", run.kind, *naming.description(run), *more]), "runs", {"run": run.id}
