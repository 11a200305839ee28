"""The answer of a dataset's vector indexes, or of its notes and reports, to an image, a case or a text."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from db import session
from db.models import Dataset, Image, VectorIndex
from db.queries import cases, datasets, predictions, runs, search
from db.queries.cases import Question
from engine.commands import embed_again, job
from engine.digests import file_sha256
from engine.errors import InputError
from engine.reporting.matching import OTHERWISE, ignored_denial, matcher, mention_matcher
from engine.retrieval.embedders import cautions, reads_text
from engine.retrieval.neighbours import OUT_OF_DISTRIBUTION, is_out_of_distribution, nearest
from jobs import indexes
from jobs.command import Context, JobError, UsageError
from jobs.embeddings.loading import load
from jobs.searches.results import SearchResult, to_hit

if TYPE_CHECKING:
    from engine.documents.contact_sheets import Sample
    from engine.retrieval.arrays import Vectors
    from engine.retrieval.embedders import Embedder
    from engine.retrieval.serving import ServedIndex


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

    def by_image(self, path: Path, embedder: str | None, alterations: Sequence[str]) -> SearchResult:
        """Cases similar to an image file; if the dataset contains the same file, that case is left out. alterations:
        of the image, by name, undone before."""
        from engine.imaging.images import read_grey
        from engine.retrieval.orientation import suspicion, undone

        pixels = undone(read_grey(path), alterations)
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
        if len(rows) and not alterations:  # an embedder may treat images that it knows in another way
            return self.nearest(served, served.vectors.vectors[rows], exclude=exclude, notes=notes)
        model = self.model(served.index)
        vectors = served.vectors.project_images(model.embed_images(pixels[None]))
        with session.reading(self.context.engine) as db:
            held = partial(cases.of_dataset, db, self.dataset.id)
            if is_out_of_distribution(served.vectors, vectors, held=held):
                notes.append(OUT_OF_DISTRIBUTION)
            suspected = suspicion(served.vectors, model, pixels, vectors, held=held)
        if suspected is not None:
            notes.append(f"{suspected}; to search so, add --undo {suspected.alteration.name}")
        return self.nearest(served, vectors, exclude=exclude, notes=notes)

    def by_case(self, number: int, embedder: str | None) -> SearchResult:
        """Cases similar to one of the dataset, which is left out; needs no model."""
        index = indexes.choose(self.context, self.dataset, embedder)
        served = indexes.serve_index(self.context, index)
        rows = served.vectors.rows([number])
        if not len(rows) or not self.holds(number):
            raise UsageError(self.absent(number, served.index))
        return self.nearest(served, served.vectors.vectors[rows], exclude=self.barred(number), notes=[])

    def holds(self, number: int) -> bool:
        """Whether that case is still one of the dataset."""
        with session.reading(self.context.engine) as db:
            return bool(cases.of_dataset(db, self.dataset.id, [number]))

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
            if not reads_text(embedder):
                raise JobError(f"embedder '{embedder}' reads no text; embed with aligned, clip or biomedclip for that")
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
            if not search.any_text(db, Question(self.dataset.id)):
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

    def picture(self, file: Path | None, number: int, alterations: Sequence[str]) -> "Sample":
        """The query image, and its label if that is known."""
        from engine.documents.contact_sheets import Sample
        from engine.imaging.images import Ingested, read_grey
        from engine.retrieval.orientation import undone

        if file is not None:
            return Sample(file.name, undone(read_grey(file), alterations), None)
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
        from engine.retrieval.serving import check_revision, given_weights

        with session.reading(self.context.engine) as db:
            run = runs.find(db, index.run_id)
        trained, path = (run.config.get("train_run"), run.weights) if run else (None, None)
        with given_weights(None if self.weights else path) as weights:
            embedder = load(self.context, index.embedder, train_run_id=trained, weights=self.weights or weights)
        check_revision(embedder, index.revision, rebuild=partial(indexes.rebuild, self.context, index))
        return embedder
