"""The exported tables for further analysis: every prediction of an image unseen in training, and every metric."""

from contextlib import suppress

from db import session
from db.models import Run
from db.queries import predictions
from db.queries.cases import label_name
from db.queries.predictions import PredictedImage
from engine.errors import InputError
from engine.tables import csv_text
from jobs.exports.source import Export

PREDICTIONS = (
    *("dataset", "kind", "id", "path", "sha256", "patient", "split", "label", "cause"),
    *("run", "classifier", "fold", "probability", "logit", "threshold", "predicted"),
)
MEASURED = ("name", "split", "slice", "step", "value", "low", "high", "n")
METRICS = ("dataset", "kind", "run", "task", *MEASURED)


def predictions_table(export: Export) -> None:
    """predictions.csv: a line for each image that the predict run scored and its classifier was not trained on, and for
    each training image its out-of-fold prediction, with its fold. `import_predictions` reads it."""
    predict, train = export.predicted(), None
    with suppress(InputError):  # imported predictions have no train run, nor has a database before training
        train = export.run("train")
    if predict is None and train is None:
        raise export.absent("predict or train run", "predict")
    with session.reading(export.context.engine) as db:
        found = [
            (run, predictions.of_run(db, run.id, unseen_by=run.train_run_id if run is predict else None))
            for run in (predict, train)
            if run is not None
        ]
    scored = {image.image_id for run, images in found if run is predict for image in images}
    rows = [
        [*_marks(export), *_predicted(run, image)]
        for run, images in found
        for image in images
        if run is predict or image.image_id not in scored
    ]
    export.text("predictions.csv", csv_text(PREDICTIONS, rows))


def _marks(export: Export) -> tuple[str, str]:
    """What every line says of its origin: the dataset, and whether it is synthetic."""
    return export.dataset.name, "SYNTHETIC" if export.synthetic else "real"


def _predicted(run: Run, image: PredictedImage) -> list[object]:
    known = [image.image_id, image.path, image.sha256, image.patient_key, image.split, label_name(image.label)]
    called = None if run.threshold is None else label_name(int(image.called(run.threshold)))
    scored = [image.fold, image.probability, image.logit, run.threshold, called]
    return [*known, image.cause, run.id, run.recipe, *scored]


def metrics_table(export: Export) -> None:
    """metrics.csv: a line for each value of the evaluation, with its 95 % interval and the number of images, reports or
    queries behind it. step: the coverage in % of a curve's value, -1 for all others."""
    rows = [
        [*_marks(export), row.run_id, task, *(getattr(row, name) for name in MEASURED)]
        for task, metrics in (*export.metrics.items(), ("classification", export.by_coverage))
        for row in metrics
    ]
    export.text("metrics.csv", csv_text(METRICS, rows))
