"""The images on which a run's predictions are judged, by split, and their attributes."""

from collections.abc import Mapping, Sequence

from db import session
from db.models import Run
from db.queries import predictions
from db.queries.predictions import PredictedImage
from engine.datasets.splits import UNSPLIT
from engine.errors import InputError
from jobs.command import Context


def unseen(context: Context, source: Run) -> list[PredictedImage]:
    """The labelled images that the predict run scored, except those of patients its classifier was trained on.

    Raises InputError if there are none: metrics on training patients would be meaningless.
    """
    with session.reading(context.engine) as db:
        found = predictions.of_run(db, source.id, labelled=True, unseen_by=source.train_run_id)
        labelled = bool(found) or bool(predictions.of_run(db, source.id, labelled=True))
    if not found:
        trained = (
            "all labelled images that it scored are of patients whom its classifier was trained on; for unseen "
            "patients see the out-of-fold values"
        )
        raise InputError(f"predict run {source.id}: {trained if labelled else 'no image that it scored has a label'}")
    return found


def by_split(images: Sequence[PredictedImage]) -> dict[str, list[PredictedImage]]:
    """The images of each split; those without a split are under UNSPLIT."""
    names = sorted({image.split or UNSPLIT for image in images})
    return {name: [image for image in images if (image.split or UNSPLIT) == name] for name in names}


def attribute_columns(rows: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """Attribute -> its value for each image, "" if unknown, in alphabetical order. rows: each image's attributes."""
    names = sorted({name for row in rows for name in row})
    return {name: [row.get(name, "") for row in rows] for name in names}
