"""python -m jobs compare RUN RUN [--json]: compare two classifiers on the same images, and list changed predictions.

Takes two predict runs, or two train runs by their out-of-fold predictions, of one dataset. Each run's predictions use
its own decision threshold. Nothing is stored; the Runs page shows the same comparison.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from db import session
from db.models import Run
from db.queries import comparison, runs
from db.queries.comparison import PairedImage
from engine.errors import InputError
from engine.labels import CLASSES
from engine.tables import json_text
from jobs.command import Context, JobError, UsageError, command, natural, open_context, parser, replicates, row_number
from jobs.results.source_runs import thresholds_of

if TYPE_CHECKING:
    from engine.metrics.comparison import Comparison

UNKNOWN = "unknown"


@command
def main(argv: Sequence[str] | None = None) -> int:
    """See the module's first line."""
    options = parser(__doc__, "compare")
    options.add_argument("first", type=row_number, metavar="RUN", help="number of the first run, see the Runs page")
    options.add_argument("second", type=row_number, metavar="RUN", help="number of the second run")
    options.add_argument("--json", action="store_true", help="print the comparison as one JSON object")
    options.add_argument(
        "--replicates", type=replicates, default=1000, metavar="N", help="bootstrap replicates (default: 1000)"
    )
    options.add_argument("--seed", type=natural, default=0, metavar="N", help="random seed (default: 0)")
    args = options.parse_args(argv)
    context = open_context(args, reads=True)
    first, second, rows = pair(context, args.first, args.second)
    found = compared(first, second, rows, seed=args.seed, replicates=args.replicates)
    changed = [moved(row, first, second) for row in (rows[index] for index in found.changed)]
    if args.json:
        output = asdict(found) | {"first": first.id, "second": second.id, "changed": changed}
        print(json_text(output, indent=2))
    else:
        print("\n".join(table(first, second, found, changed)))
    return 0


def pair(context: Context, one: int, other: int) -> tuple[Run, Run, list[PairedImage]]:
    """The two runs and the images that both scored. Raises UsageError or JobError if they cannot be compared."""
    with session.reading(context.engine) as db:
        first, second = runs.find(db, one), runs.find(db, other)
        for number, run in ((one, first), (other, second)):
            if run is None:
                raise UsageError(f"there is no run {number}; see the Runs page")
        why = comparison.why_incomparable(first, second)
        if why is not None:
            raise UsageError(f"{why}; see the Runs page for finished predict and train runs of one dataset")
        assert first is not None
        assert second is not None
        rows = comparison.paired(db, first, second)
    if not rows:
        raise JobError(
            f"runs {one} and {other} have no labelled image in common whose patient is new to both classifiers; "
            "compare runs that scored the same unseen images"
        )
    return first, second, rows


def compared(first: Run, second: Run, rows: Sequence[PairedImage], *, seed: int, replicates: int) -> "Comparison":
    """The comparison of two runs' probabilities on `rows`."""
    from engine.metrics.classification import Sample
    from engine.metrics.comparison import compare

    labels = np.array([row.label for row in rows], dtype=np.intp)

    def sample(run: Run, scores: list[float]) -> Sample:
        return Sample.of(labels, scores, threshold=thresholds_of(run)["all"])

    one, other = sample(first, [row.first for row in rows]), sample(second, [row.second for row in rows])
    try:
        return compare(one, other, [row.patient_key for row in rows], seed=seed, replicates=replicates)
    except InputError as error:
        raise JobError(
            f"runs {first.id} and {second.id} have too few labelled images in common, {len(rows):,}: {error}; "
            "compare runs that have more"
        ) from error


def moved(row: PairedImage, first: Run, second: Run) -> dict[str, Any]:
    """An image whose predicted class changed, and the run that predicts it correctly."""
    return {
        "image": row.image_id,
        "path": row.path,
        "label": row.label,
        "first": row.first,
        "second": row.second,
        "right": comparison.right(row, first, second).id,
    }


def table(first: Run, second: Run, found: "Comparison", changed: list[dict[str, Any]]) -> list[str]:
    """The comparison as lines of text."""
    lines = [
        f"{found.images:,} distinct images; differences are run {first.id} minus run {second.id}; intervals are "
        "bootstrapped over patients",
        "",
    ]
    runs = f"{f'run {first.id}':>9} {f'run {second.id}':>9}"
    lines.append(f"{'metric':<24} {runs} {'difference':>11}  {'95 % interval':<18} {'p':>7}")
    one, other = (thresholds_of(run)["all"] for run in (first, second))
    lines.append(f"{'threshold':<24} {one:>9.4f} {other:>9.4f} {one - other:>+11.4f}")
    for name, interval in found.differences.items():
        first_value, second_value = (shown(value, ".4f") for value in found.values[name])
        difference, p = shown(interval.value, "+.4f"), shown(interval.p, ".3f")
        span = shown_range(interval.low, interval.high)
        lines.append(f"{name:<24} {first_value:>9} {second_value:>9} {difference:>11}  {span:<18} {p:>7}")
    auc, verdicts = found.auc, found.verdicts
    lines += [
        "",
        "Decide by the AUC, which needs no threshold. The other metrics are exploratory, each classifier at its own "
        "threshold; their p-values are adjusted for multiple comparisons (Holm).",
        "",
        f"DeLong's test of the AUCs: difference {auc.difference:+z.4f} "
        f"({shown_range(auc.low, auc.high)}), p = {shown(auc.p, '.3g')}",
        f"McNemar's test of the predictions: only run {first.id} correct {verdicts.first_only}, only run {second.id} "
        f"correct {verdicts.second_only}, exact p = {verdicts.p_exact:.3g}",
        "Both tests assume independent images, which images of one patient are not.",
        "",
        f"images whose predicted class changed: {len(changed)}",
    ]
    for row in changed:
        truth = CLASSES[row["label"]]
        lines.append(
            f"  image {row['image']:<6} {truth:<9} {row['first']:.3f} -> {row['second']:.3f}  "
            f"correct: run {row['right']}  {row['path']}"
        )
    return lines


def shown(value: float, form: str) -> str:
    """The number in this format, "unknown" if it is not finite."""
    return format(value, form) if math.isfinite(value) else UNKNOWN


def shown_range(low: float, high: float) -> str:
    """An interval of differences, "unknown" if an end is not finite."""
    return f"{low:+z.4f} to {high:+z.4f}" if math.isfinite(low) and math.isfinite(high) else UNKNOWN


if __name__ == "__main__":
    raise SystemExit(main())
