"""The exported contact sheets: sample predictions, failures, report cards and retrieval results."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from db import session
from db.models import Run
from db.queries import predictions, runs
from db.queries.evaluation import StandingReport
from db.queries.predictions import KnownImage, PredictedImage
from engine.commands import job
from engine.errors import InputError
from jobs.evaluations.retrieval import answers, query_vectors
from jobs.exports.source import SEED, Export
from jobs.results.source_runs import thresholds_of

if TYPE_CHECKING:
    from PIL import Image

    from engine.documents.contact_sheets import Sample

SAMPLES, FAILURES, CARDS, QUERIES, HITS = 16, 6, 6, 3, 5


@dataclass(frozen=True)
class Pictures:
    """Images for contact sheets, with probabilities and heatmaps if a predict run has them."""

    root: Path
    predicted: dict[int, PredictedImage]
    """By image id."""
    heatmaps: NDArray[np.float16] | None
    """float16 (n, h, w), memory-mapped."""

    @classmethod
    def of(cls, export: Export, run: Run | None) -> "Pictures":
        """With the predictions of `run`; None means without predictions."""
        rows: list[PredictedImage] = []
        heatmaps = None
        if run is not None:
            with session.reading(export.context.engine) as db:
                rows = predictions.of_run(db, run.id)
                stored = runs.artifact(db, run.id, "heatmaps")
            path = export.context.artifacts / stored.path if stored else None
            if path is not None and path.is_file():
                heatmaps = np.load(path, mmap_mode="r", allow_pickle=False)
        return cls(Path(export.dataset.root), {row.image_id: row for row in rows}, heatmaps)

    def sample(self, image: KnownImage, *, unseen: bool = False) -> "Sample":
        """One image; an unseen one is only counted, so its file is not read. Raises InputError if it cannot be read."""
        from engine.documents.contact_sheets import Sample
        from engine.imaging.images import Ingested, read_grey

        predicted = self.predicted.get(image.image_id)
        row = predicted.heatmap_row if predicted else None
        heat = None if self.heatmaps is None or row is None else np.asarray(self.heatmaps[row], dtype=np.float32)
        source = Ingested(self.root / image.path, image.sha256)
        pixels = np.zeros((1, 1), dtype=np.uint8) if unseen else read_grey(source)
        return Sample(Path(image.path).name, pixels, image.label, predicted.probability if predicted else None, heat)


def prediction_sheets(export: Export) -> None:
    """sample_predictions.png: 16 images, balanced over labels; failure_cases.png: the worst of each kind."""
    from engine.datasets.sampling import stratified
    from engine.documents.contact_sheets import failure_cases, sample_predictions

    run, _, rows = export.judged()
    threshold = thresholds_of(run)["all"]
    pictures = Pictures.of(export, run)
    drawn = stratified(rows, SAMPLES, stratum=lambda row: row.label, key=lambda row: row.sha256, seed=SEED)
    shown = [pictures.sample(row) for row in drawn]
    sheet = sample_predictions(shown, threshold=threshold, synthetic=export.synthetic)
    save(export, "sample_predictions.png", sheet)
    worst = {image_id for label in (0, 1) for image_id in worst_failures(rows, label, threshold)}
    all_samples = [pictures.sample(row, unseen=row.image_id not in worst) for row in rows]
    sheet = failure_cases(all_samples, threshold=threshold, synthetic=export.synthetic, each=FAILURES)
    save(export, "failure_cases.png", sheet)


def worst_failures(rows: Sequence[PredictedImage], label: int, threshold: float) -> list[int]:
    """The misclassified images of this label that are at least as wrong as the last one on the sheet."""
    far = {row.image_id: row.error for row in rows if row.label == label and row.failed(threshold)}
    least = min(sorted(far.values(), reverse=True)[:FAILURES], default=0.0)
    return [image_id for image_id, distance in far.items() if distance >= least]


def report_cards(export: Export) -> None:
    """report_cards.png: 6 reports that cover as many labels, strategies and models as possible."""
    from engine.documents import contact_sheets
    from engine.documents.contact_sheets import ReportCard

    reports, scores = export.reports()
    run = export.run("predict")
    pictures = Pictures.of(export, run)
    of_report: dict[int, dict[str, float | None]] = {}
    for row in scores:
        of_report.setdefault(row.report_id, {})[row.metric] = row.value
    chosen = varied(reports, CARDS)
    cards = [
        ReportCard(
            pictures.sample(report),
            report.model,
            report.strategy,
            report.text,
            {name: value for name, value in of_report.get(report.report_id, {}).items() if name != "stance"},
        )
        for report in chosen
    ]
    sheet = contact_sheets.report_cards(cards, threshold=thresholds_of(run)["all"], synthetic=export.synthetic)
    save(export, "report_cards.png", sheet)


def varied(reports: Sequence[StandingReport], count: int) -> list[StandingReport]:
    """At most `count` reports that alternate in label first, then strategy, model and image."""

    def traits(report: StandingReport) -> list[tuple[str, object]]:
        return [(name, getattr(report, name)) for name in ("label", "strategy", "model", "image_id")]

    left = sorted(reports, key=lambda report: (report.sha256, report.report_id))
    seen: Counter[tuple[str, object]] = Counter()
    chosen: list[StandingReport] = []
    while left and len(chosen) < count:
        best = min(left, key=lambda report: [seen[trait] for trait in traits(report)])
        left.remove(best)
        chosen.append(best)
        seen.update(traits(best))
    return chosen


def retrieval_results(export: Export) -> None:
    """retrieval_results.png: three test queries of each label, with five hits each."""
    from engine.datasets.sampling import stratified
    from engine.documents.contact_sheets import Hit, Retrieval, retrieval_grid

    opened, rows, images = export.opened()
    labelled = [(row, image) for row, image in zip(rows, images, strict=True) if image.label is not None]
    if not labelled:
        raise InputError("no image in the vector index has a label")
    pictures = Pictures.of(export, None)
    known = {image.image_id: image for image in images}
    found = []
    for label in (0, 1):
        of_label = [pair for pair in labelled if pair[1].label == label]
        queries = stratified(
            of_label, QUERIES, stratum=lambda pair: pair[1].cause, key=lambda pair: pair[1].sha256, seed=SEED
        )
        for row, image in queries:
            query = np.array(opened.vectors[[row]])
            hits = opened.search(query, HITS, exclude_ids=[image.image_id], allowed_ids=list(known))
            near = [
                Hit(pictures.sample(known[number]), float(similarity))
                for number, similarity in zip(hits.ids[0].tolist(), hits.similarities[0], strict=True)
                if number >= 0
            ]
            found.append(Retrieval(pictures.sample(image), tuple(near)))
    grid = retrieval_grid(found, embedder=opened.manifest.embedder, synthetic=export.synthetic)
    save(export, "retrieval_results.png", grid)


def text_retrieval_results(export: Export) -> None:
    """text_retrieval_results.png: two written queries of each kind, with five test images each."""
    from engine.documents.contact_sheets import Hit, TextRetrieval, text_retrieval_grid
    from engine.retrieval.text.written_queries import QUERIES as WRITTEN

    index = export.reader()
    opened, rows, images = export.opened(index)
    queries = query_vectors(export.context, index)
    if queries is None:
        again = job("embed", export.dataset.name, "--embedder", index.embedder, "--again")
        raise InputError(f"the index of {index.embedder} has no current written queries; embed again with: {again}")
    relevant, answerable = answers(export.context, images, export.predicted())
    pictures = Pictures.of(export, None)
    shown, per_kind = [], Counter[str]()
    for number, right in zip(answerable.tolist(), relevant, strict=True):
        query = WRITTEN[number]
        per_kind[query.kind] += 1
        if per_kind[query.kind] > 2:
            continue
        near = opened.vectors[rows].astype(np.float64) @ queries[number].astype(np.float64)
        best = np.argsort(-np.round(near, 12), kind="stable")[:HITS]
        hits = [Hit(pictures.sample(images[at]), float(near[at])) for at in best.tolist()]
        shown.append(TextRetrieval(query.text, tuple(hits), tuple(right[best].tolist())))
    sheet = text_retrieval_grid(shown, embedder=index.embedder, synthetic=export.synthetic)
    save(export, "text_retrieval_results.png", sheet)


def save(export: Export, name: str, picture: "Image.Image") -> None:
    """Write a sheet as PNG."""
    export.write(name, lambda path: picture.save(path, format="PNG"))
