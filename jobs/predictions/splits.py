"""The images that a predict run scores: those of the requested split."""

from collections.abc import Sequence

from db import session
from db.models import Dataset, Image
from db.queries import datasets
from jobs.command import Context, JobError


def images_to_score(context: Context, dataset: Dataset, split: str | None) -> tuple[Sequence[Image], str]:
    """The images of the requested split, and its name. Raises JobError if it has none."""
    with session.reading(context.engine) as db:
        if split is None and not datasets.images(db, dataset.id, splits=["test"]):
            print(f"note: dataset '{dataset.name}' has no test split; scoring all images")
            split = "all"
        split = split or "test"
        images = datasets.images(db, dataset.id, splits=None if split == "all" else [split])
    if not images:
        raise JobError(f"dataset '{dataset.name}' has no images in split '{split}'; choose another with --split")
    return images, split
