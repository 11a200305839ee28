"""python -m jobs search --image FILE | --text WORDS | --case ID [--k 5]: find the most similar cases."""

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from db import session
from db.models import Dataset, Image, VectorIndex
from db.queries import cases, datasets, predictions, runs, search
from db.queries.cases import Question
from engine.commands import embed_again, job
from engine.datasets.folders import SPLITS
from engine.digests import file_sha256
from engine.errors import InputError
from engine.reporting.matching import OTHERWISE, ignored_denial, matcher, mention_matcher
from engine.retrieval.embedders import cautions, reads_text
from engine.retrieval.neighbours import nearest
from engine.retrieval.vector_index import OUT_OF_DISTRIBUTION
from jobs import indexes
from jobs.command import Context, JobError, UsageError, command, named_file, open_context, parser, positive, row_number
from jobs.embeddings.loading import load
from jobs.search_results import SearchResult, as_csv, show, to_hit, write_grid

if TYPE_CHECKING:
    from engine.documents.contact_sheets import Sample
    from engine.retrieval.approximate import Vectors
    from engine.retrieval.embedders import Embedder
    from engine.retrieval.serving import ServedIndex


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
        answer = search_in.by_image(args.image, args.embedder)
    else:
        answer = search_in.by_case(args.case, args.embedder)
    if args.csv:
        print(as_csv(answer), end="")
        for note in answer.notes:
            print(f"note: {note}", file=sys.stderr)
    else:
        show(dataset, answer, as_json=args.json, narrowed=question != Question(dataset.id, split=args.split))
    if args.grid is not None:
        query = args.text or search_in.picture(args.image, args.case)
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
        "--embedder", metavar="NAME", help="embedder whose index to search (default: the latest index)"
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


@dataclass(frozen=True)
class Search:
    """A search of a dataset's indexes and reports."""

    context: Context
    dataset: Dataset
    k: int
    question: Question
    """The filters that hits must pass."""
    other_patients: bool
    weights: Path | None

    def by_image(self, path: Path, embedder: str | None) -> SearchResult:
        """Cases similar to an image file; if the dataset contains the same file, that case is left out."""
        from engine.imaging.images import read_grey
        from engine.retrieval.orientation import suspicion

        pixels = read_grey(path)
        index = indexes.choose(self.context, self.dataset, embedder)
        served = indexes.serve_index(self.context, index)
        with session.reading(self.context.engine) as db:
            same = search.by_content(db, self.dataset.id, file_sha256(path))
        exclude, notes = self.barred(same.id) if same else [], []
        if same is not None:
            notes.append(f"the image is case {same.id} of the dataset, {same.path}; it is left out")
        elif self.other_patients:
            notes.append("the image is not in the dataset, so its patient is unknown and no patient is left out")
        rows = served.vectors.rows([same.id] if same else [])
        if len(rows):  # an embedder may treat images that it knows in another way
            return self.nearest(served, served.vectors.vectors[rows], exclude=exclude, notes=notes)
        model = self.model(served.index)
        vectors = served.vectors.project_images(model.embed_images(pixels[None]))
        if served.vectors.is_out_of_distribution(vectors):
            notes.append(OUT_OF_DISTRIBUTION)
        if suspected := suspicion(served.vectors, model, pixels, vectors):
            notes.append(f"{suspected}; undo that and search again")
        return self.nearest(served, vectors, exclude=exclude, notes=notes)

    def by_case(self, number: int, embedder: str | None) -> SearchResult:
        """Cases similar to one of the dataset, which is left out; needs no model."""
        index = indexes.choose(self.context, self.dataset, embedder)
        served = indexes.serve_index(self.context, index)
        rows = served.vectors.rows([number])
        if not len(rows):
            raise UsageError(self.absent(number, served.index))
        return self.nearest(served, served.vectors.vectors[rows], exclude=self.barred(number), notes=[])

    def absent(self, number: int, index: VectorIndex) -> str:
        """Why the index does not contain that case, and the way out."""
        with session.reading(self.context.engine) as db:
            case = db.get(Image, number)
            owner = db.get_one(Dataset, case.dataset_id).name if case else None
        if owner is None:
            return f"there is no case {number}; the dashboard's Case page shows each case's number"
        if owner != self.dataset.name:
            return f"case {number} is in dataset '{owner}', not '{self.dataset.name}'; choose it with --dataset"
        again = embed_again(owner, index.embedder)
        return f"case {number} is not in the index of '{index.embedder}'; add it with: {again}"

    def by_text(self, text: str, embedder: str | None, *, in_reports: bool) -> SearchResult:
        """Cases that a text describes: by an index that reads text if there is one, else by the words of reports."""
        if embedder is not None:
            return self.by_words(indexes.choose(self.context, self.dataset, embedder), text, notes=[])
        readers = [index for index in indexes.current(self.context, self.dataset) if reads_text(index.embedder)]
        notes = []
        if readers and not in_reports:
            try:
                return self.by_words(readers[0], text, notes=["to search notes and reports instead, add --reports"])
            except (InputError, JobError) as error:
                notes.append(f"the images cannot be searched: {error}")
        elif readers:
            notes.append("to search the images instead, leave --reports out")
        else:
            made = embed_again(self.dataset.name, "aligned")
            notes.append(f"to make the images searchable by text, run: {made}")
        return self.by_reports(text, notes)

    def by_words(self, index: VectorIndex, text: str, *, notes: list[str]) -> SearchResult:
        """Cases whose images a text describes, by an index that reads text."""
        served = indexes.serve_index(self.context, index)
        embedder = self.model(served.index)
        vectors = served.vectors.project_texts(embedder.embed_texts([text]))
        caveat = embedder.caveat(text, known=served.vectors.known)
        return self.nearest(served, vectors, exclude=[], notes=[*([caveat] if caveat else []), *notes])

    def by_reports(self, text: str, notes: list[str]) -> SearchResult:
        """Cases whose notes or generated reports contain the text's words."""
        with session.reading(self.context.engine) as db:
            if not search.any_text(db, self.dataset.id):
                name = self.dataset.name
                ways = "; or ".join([job("report", name), *notes[:1]])
                raise JobError(f"dataset '{name}' has no notes or reports to search; write reports with: {ways}")
            found = search.answer(
                db, self.question, text, limit=self.k, passes=matcher(text), mentions=mention_matcher(text)
            )
            known = predictions.images(db, [hit.image.id for hit in found.hits])
        hits = [
            to_hit(rank, hit.score, known[hit.image.id], " ".join(hit.snippet.split()))
            for rank, hit in enumerate(found.hits, start=1)
        ]
        others = [f"texts with the words, but {OTHERWISE}: {' '.join(one.snippet.split())}" for one in found.otherwise]
        notes = [*others, *filter(None, [ignored_denial(text)]), *found.limits, *notes]
        answered_by = "full-text search of notes and reports (texts that deny the words are left out)"
        return SearchResult(hits, answered_by, notes)

    def picture(self, file: Path | None, number: int) -> "Sample":
        """The query image, and its label if that is known."""
        from engine.documents.contact_sheets import Sample
        from engine.imaging.images import Ingested, read_grey

        if file is not None:
            return Sample(file.name, read_grey(file), None)
        with session.reading(self.context.engine) as db:
            case = db.get_one(Image, number)
        source = Ingested(Path(self.dataset.root) / case.path, case.sha256)
        return Sample(Path(case.path).name, read_grey(source), case.label)

    def barred(self, number: int) -> Sequence[int]:
        """The query's own case, or all cases of its patient."""
        with session.reading(self.context.engine) as db:
            return cases.of_patient(db, number) if self.other_patients else [number]

    def nearest(
        self, served: "ServedIndex[VectorIndex]", vectors: "Vectors", *, exclude: Sequence[int], notes: list[str]
    ) -> SearchResult:
        """The k cases of the index that are nearest to one vector, float32 (1, d)."""
        index = served.index
        with session.reading(self.context.engine) as db:
            allowed = cases.ids_narrowed(db, self.question)
            held = partial(cases.of_dataset, db, self.dataset.id)
            k = min(self.k, len(served.vectors))
            found = nearest(served.vectors, vectors, k, held=held, allowed=allowed, exclude=exclude)
            known = predictions.images(db, [number for number, _ in found])
            total, latest = cases.count(db, Question(self.dataset.id)), datasets.latest_image(db, self.dataset.id)
        hits = [to_hit(rank, similarity, known[number]) for rank, (number, similarity) in enumerate(found, start=1)]
        matching = "only 1 case matches" if len(hits) == 1 else f"only {len(hits)} cases match"
        fewer = [matching] if len(hits) < self.k else []  # filters may leave fewer than k
        again, whole = embed_again(self.dataset.name, index.embedder), total == index.count
        has = "images that are not in the index" if whole else f"{total} images"
        complete = whole and latest == served.vectors.ids.max()
        stale = [] if complete else [f"the dataset has {has}; update the index with: {again}"]
        return SearchResult(
            hits,
            f"the index of {index.embedder} (run {index.run_id}, {index.count} images), cosine similarity",
            [*notes, *fewer, *stale, *cautions(index.embedder)],
            index.embedder,
        )

    def model(self, index: VectorIndex) -> "Embedder":
        """The embedder that built the index. Raises InputError if its weights have changed since."""
        from engine.retrieval.serving import check_revision, weights_at

        with session.reading(self.context.engine) as db:
            run = runs.find(db, index.run_id)
        trained, weights = (run.config.get("train_run"), weights_at(run.weights)) if run else (None, None)
        embedder = load(self.context, index.embedder, train_run_id=trained, weights=self.weights or weights)
        check_revision(embedder, index.revision, rebuild=partial(indexes.rebuild, self.context, index))
        return embedder


if __name__ == "__main__":
    raise SystemExit(main())
