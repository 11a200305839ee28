"""What would be forgotten, as lines of text."""

from collections.abc import Collection, Iterator

from db.models import Run
from engine.commands import job
from jobs.forgetting.plan import Plan

NAMED = 8
"""Maximum number of runs that a line names; the rest are only counted."""


def summary_lines(found: Plan) -> list[str]:
    """The runs, the runs built on them, rows by kind, files, and what is kept."""
    return [*_runs(found), *_numbers(found), *_kept(found)]


def named(numbers: Collection[int]) -> str:
    """The runs in words, at most NAMED of them by number."""
    if not numbers:
        return "no run"
    shown = [str(number) for number in sorted(numbers)]
    first, last = (shown[:-1], shown[-1]) if len(shown) <= NAMED else (shown[:NAMED], f"{len(shown) - NAMED} more")
    return f"runs {', '.join(first)} and {last}" if first else f"run {last}"


def counted(number: int, what: str) -> str:
    """A count with its noun."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def human_work(found: Plan) -> str:
    """The reviews, by reader, and the tags of the dataset."""
    readers = ", ".join(f"{reader} {number:,}" for reader, number in found.reviews.items())
    by = f" ({readers})" if readers else ""
    return f"{counted(sum(found.reviews.values()), 'review')}{by} and {counted(found.tags, 'tag')}"


def _runs(found: Plan) -> Iterator[str]:
    dataset, going = found.wanted.dataset, found.going
    yield f"forget: {f'dataset {dataset.name!r} with ' if dataset else ''}{named(going.requested)}"
    yield from (_of_run(run) for run in found.runs if run.id in going.requested)
    if going.dependents:
        yield "built on these, so they would be deleted too:"
        yield from (_of_run(run) for run in found.runs if run.id in going.dependents)


def _of_run(run: Run) -> str:
    known = (run.recipe, run.config.get("model"), run.config.get("embedder"), run.config.get("split"))
    read = [f"of run {number}" for name in ("predict_run", "evaluate_run") if (number := run.config.get(name))]
    ended = [run.status] if run.status != "finished" else []
    return f"{run.id:>12}  {', '.join([run.kind, *map(str, filter(None, known)), *read, *ended])}"


def _numbers(found: Plan) -> Iterator[str]:
    wide = max((len(kind) for kind in found.rows), default=0) + 2
    yield "to be deleted:"
    yield from (f"  {kind:<{wide}}{number:>12,}" for kind, number in found.rows.items())
    yield f"  {'files':<{wide}}{found.size.files:>12,}  of {found.size.bytes / 1e6:,.1f} MB"
    if found.has_reviews:
        yield f"people's work, which cannot be restored: {human_work(found)}"


def _kept(found: Plan) -> Iterator[str]:
    heirs = found.going.heirs
    if heirs:
        yield f"kept: {counted(len(heirs), 'report')} also requested by {named(set(heirs.values()))}"
    for dataset in sorted({run.config["dataset"] for run in found.rescored}):
        theirs = [run.id for run in found.rescored if run.config["dataset"] == dataset]
        yield (
            f"kept: reports of {named(theirs)}, whose texts depend on nothing that is deleted; their scores do, so "
            f"rescore them afterwards with: {job('score', dataset)}"
        )
    yield from (f"kept: exported files in {folder}" for folder in found.exported)
    if found.strangers:
        yield (
            f"kept: thumbnails, because no run of this database made {found.strangers[0]} in the artifact folder, so "
            "another database may need them"
        )
    yield from (f"current afterwards: {kind} run {number}" for kind, number in found.successors if number is not None)
    yield from (f"current afterwards: no {kind} run" for kind, number in found.successors if number is None)
