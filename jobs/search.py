"""python -m jobs search --image FILE | --text WORDS | --case ID [--k 5]: find the most similar cases."""

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from dataclasses import replace

from db import session
from db.models import Dataset
from db.queries import cases, runs
from db.queries.cases import Question
from engine.commands import job
from engine.datasets.folders import SPLITS
from engine.retrieval.orientation import ALTERATIONS
from jobs.command import Context, JobError, UsageError, command, named_file, open_context, parser, positive, row_number
from jobs.searches.results import as_csv, show, write_grid
from jobs.searches.search import Search


@command
def main(argv: Sequence[str] | None = None) -> int:
    """See the module's first line."""
    args = argument_parser().parse_args(argv)
    refuse_contradictions(args)
    context = open_context(args, reads=True)
    dataset = context.dataset(args.dataset)
    question = Question(dataset.id, split=args.split, label=args.label, attributes=subgroup(dataset, args.attribute))
    question = narrowed_to(context, dataset, question, cause=args.cause, outcome=args.outcome)
    search_in = Search(context, dataset, args.k, question, args.exclude_same_patient, args.weights)
    if args.text is not None:
        answer = search_in.by_text(args.text, args.embedder, in_reports=args.reports)
    elif args.image is not None:
        answer = search_in.by_image(args.image, args.embedder, args.undo)
    else:
        answer = search_in.by_case(args.case, args.embedder)
    if args.csv:
        print(as_csv(answer), end="")
        for note in answer.notes:
            print(f"note: {note}", file=sys.stderr)
    else:
        show(dataset, answer, as_json=args.json, narrowed=question != Question(dataset.id, split=args.split))
    if args.grid is not None:
        query = args.text or search_in.picture(args.image, args.case, args.undo)
        write_grid(args.grid, dataset, answer, query)
        print(f"search: {args.grid} shows the query and {len(answer.hits)} hits", file=sys.stderr)
    return 0


def argument_parser() -> ArgumentParser:
    """The command line of this job."""
    options = parser(__doc__, "search")
    query = options.add_mutually_exclusive_group(required=True)
    query.add_argument(
        "--image", type=named_file, metavar="FILE", help="radiograph to search with, in the dataset or not"
    )
    query.add_argument("--text", metavar="WORDS", help="description of the image, or words of its report")
    query.add_argument("--case", type=row_number, metavar="ID", help="image of the dataset to search with, by its id")
    options.add_argument("--k", type=positive, default=5, metavar="N", help="number of hits (default: 5)")
    options.add_argument("--dataset", metavar="NAME", help="dataset to use (default: the latest)")
    options.add_argument(
        "--embedder",
        metavar="NAME",
        help="embedder whose index to search (default: the latest index; for --text the latest that reads text)",
    )
    options.add_argument("--reports", action="store_true", help="search notes and reports for --text, not the images")
    options.add_argument("--split", choices=SPLITS, help="only cases of this split")
    options.add_argument("--label", type=str.lower, choices=tuple(cases.LABELS), help="only cases with this label")
    options.add_argument("--cause", metavar="NAME", help="only cases with this cause, or unknown")
    options.add_argument(
        "--outcome",
        choices=("TP", "FP", "TN", "FN", "wrong"),
        help="only cases with this outcome in the current predict run, or out of fold for images that it did not score",
    )
    options.add_argument(
        "--attribute",
        action="append",
        type=name_and_value,
        default=[],
        metavar="NAME=VALUE",
        help="only cases with this attribute, such as sex=female or view=unknown; can be repeated",
    )
    options.add_argument(
        "--exclude-same-patient", action="store_true", help="leave out all images of the query's patient"
    )
    options.add_argument(
        "--weights",
        type=named_file,
        metavar="PATH",
        help="file of the embedder's pretrained weights (default: what embed was given)",
    )
    options.add_argument(
        "--undo",
        choices=tuple(ALTERATIONS),
        action="append",
        default=[],
        help="what happened to the --image, to be undone before it is searched; can be repeated",
    )
    output = options.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print JSON")
    output.add_argument("--csv", action="store_true", help="print CSV")
    options.add_argument(
        "--grid", type=named_file, metavar="FILE", help="also draw the query and its hits as a PNG file"
    )
    return options


def refuse_contradictions(args: Namespace) -> None:
    """Raise UsageError for options that cannot be combined or have an unusable value."""
    if args.text is not None and not args.text.strip():
        raise UsageError("--text is empty; describe what the image or its report should show")
    if args.grid is not None and (args.grid.is_dir() or args.grid.suffix.lower() != ".png"):
        raise UsageError(f"--grid {args.grid} is not the name of a PNG file; give one that ends in .png")
    if args.exclude_same_patient and args.text is not None:
        raise UsageError("a --text query has no patient; leave --exclude-same-patient out")
    if args.reports and (args.text is None or args.embedder is not None):
        raise UsageError("--reports searches reports for --text; use it with --text and without --embedder")
    if args.undo and args.image is None:
        raise UsageError("--undo is for --image; leave it out")
    if args.weights is not None and args.case is not None:
        raise UsageError("--case uses the case's stored vector and needs no model; leave --weights out")


def name_and_value(text: str) -> tuple[str, str]:
    """An argparse type: an attribute and its value."""
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise ArgumentTypeError(f"'{text}' is not NAME=VALUE, such as sex=female")
    return name, value


def subgroup(dataset: Dataset, pairs: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """The attributes that hits must have. Raises UsageError for one that the dataset does not have."""
    for name, value in pairs:
        if name not in dataset.attributes:
            known = ", ".join(dataset.attributes) or "none; they come from labels.csv or DICOM headers"
            raise UsageError(f"attribute '{name}' is unknown; dataset '{dataset.name}' has: {known}")
        values = [*dataset.attributes[name], cases.UNKNOWN]
        if value not in values:
            raise UsageError(f"{name} '{value}' is unknown; dataset '{dataset.name}' has: {', '.join(values)}")
    return tuple(pairs)


def narrowed_to(
    context: Context, dataset: Dataset, question: Question, *, cause: str | None, outcome: str | None
) -> Question:
    """The question narrowed to a cause and an outcome. Raises UsageError for an unknown cause, JobError if there are no
    outcomes."""
    question = replace(question, cause=cause)
    with session.reading(context.engine) as db:
        known = [*cases.causes(db, dataset.id), cases.UNKNOWN]
        predicted = runs.current(db, "predict", dataset.id)
    if cause is not None and cause not in known:
        raise UsageError(f"cause '{cause}' is unknown; dataset '{dataset.name}' has: {', '.join(known)}")
    if outcome is None:
        return question
    threshold = predicted.threshold if predicted else None
    if predicted is None or threshold is None:
        raise JobError(
            f"--outcome needs a predict run, and dataset '{dataset.name}' has none; make one with: "
            f"{job('predict', dataset.name)}"
        )
    return replace(question, run_id=predicted.id, threshold=float(threshold), outcome=outcome)


if __name__ == "__main__":
    raise SystemExit(main())
