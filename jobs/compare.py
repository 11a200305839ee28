"""python -m jobs compare RUN RUN [--json]: how two classifiers differ on the same images, and which changed sides.

Two predict runs, or two train runs by their out-of-fold predictions, of one data set. Each run's verdicts are at its
own threshold. Nothing is stored: the Runs page shows the same.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from db import session
from db.models import Run
from db.queries import comparison, runs
from db.queries.comparison import PairedImage
from engine.errors import InputError
from engine.tables import json_text
from jobs.command import Context, JobError, UsageError, command, natural, open_context, parser, replicates, row_number
from jobs.results import thresholds_of

if TYPE_CHECKING:
    from engine.metrics.comparison import Comparison


@command
def main(argv: Sequence[str] | None = None) -> int:
    """See the module's first line."""
    options = parser(__doc__, "compare")
    options.add_argument("first", type=row_number, metavar="RUN", help="a number, as the Runs page has it")
    options.add_argument("second", type=row_number, metavar="RUN", help="that of the run it is compared with")
    options.add_argument("--json", action="store_true", help="print everything as one JSON object")
    options.add_argument("--replicates", type=replicates, default=1000, metavar="N", help="bootstrap replicates (1000)")
    options.add_argument("--seed", type=natural, default=0, help="of all that is drawn (default: 0)")
    args = options.parse_args(argv)
    context = open_context(args, reads=True)
    first, second, rows = pair(context, args.first, args.second)
    found = compared(first, second, rows, seed=args.seed, replicates=args.replicates)
    changed = [moved(row, first, second) for row in (rows[index] for index in found.changed)]
    if args.json:
        told = asdict(found) | {"first": first.id, "second": second.id, "changed": changed}
        print(json_text(told, indent=2))
    else:
        print("\n".join(table(first, second, found, changed)))
    return 0


def pair(context: Context, one: int, other: int) -> tuple[Run, Run, list[PairedImage]]:
    """The two runs and the images that both scored. Raises UsageError or JobError where they cannot be compared."""
    with session.reading(context.engine) as db:
        first, second = runs.find(db, one), runs.find(db, other)
        for number, run in ((one, first), (other, second)):
            if run is None:
                raise UsageError(f"there is no run {number}; see the Runs page")
        why = comparison.why_incomparable(first, second)
        if why is not None:
            raise UsageError(f"{why}; see the Runs page for finished predict and train runs of one data set")
        assert first is not None
        assert second is not None
        rows = comparison.paired(db, first, second)
    if not rows:
        raise JobError(
            f"runs {one} and {other} scored no labelled image in common of a patient that neither was trained on"
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
            f"runs {first.id} and {second.id} scored too few labelled images in common, {len(rows):,}: {error}; "
            "compare runs that scored more of them"
        ) from error


def moved(row: PairedImage, first: Run, second: Run) -> dict[str, Any]:
    """An image whose verdict changed, and which run has it right."""
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
        f"{found.images:,} distinct images; run {first.id} minus run {second.id}; intervals draw whole patients",
        "",
    ]
    runs = f"{f'run {first.id}':>9} {f'run {second.id}':>9}"
    lines.append(f"{'metric':<24} {runs} {'difference':>11}  {'95 % interval':<18} {'p':>5}")
    one, other = (thresholds_of(run)["all"] for run in (first, second))
    lines.append(f"{'threshold':<24} {one:>9.4f} {other:>9.4f} {one - other:>+11.4f}")
    for name, interval in found.differences.items():
        one, other = found.values[name]
        span = f"{interval.low:+.4f} to {interval.high:+.4f}"
        lines.append(f"{name:<24} {one:>9.4f} {other:>9.4f} {interval.value:>+11.4f}  {span:<18} {interval.p:>5.3f}")
    auc, verdicts = found.auc, found.verdicts
    lines += [
        "",
        "Decide by the AUC: it needs no threshold. The others are exploratory, each classifier at its own threshold; "
        "their p is corrected for how many they are (Holm).",
        "",
        f"DeLong's test of the AUCs: difference {auc.difference:+.4f} "
        f"({auc.low:+.4f} to {auc.high:+.4f}), p = {auc.p:.3g}",
        f"McNemar's test of the verdicts: only run {first.id} right {verdicts.first_only}, only run {second.id} right "
        f"{verdicts.second_only}, exact p = {verdicts.p_exact:.3g}",
        "These two tests take images for independent, which those of one patient are not.",
        "",
        f"{len(changed)} images changed sides" + (":" if changed else "."),
    ]
    for row in changed:
        truth = "pneumonia" if row["label"] else "normal"
        lines.append(
            f"  image {row['image']:<6} {truth:<9} {row['first']:.3f} -> {row['second']:.3f}  "
            f"right: run {row['right']}  {row['path']}"
        )
    return lines


if __name__ == "__main__":
    raise SystemExit(main())
