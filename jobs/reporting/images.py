"""The images that a report run writes about: a sample of those that its predict run scored."""

from db import session
from db.models import Run
from db.queries import predictions
from db.queries.predictions import PredictedImage
from jobs.command import Context, JobError, UsageError
from jobs.results.source_runs import thresholds_of

ONLY = ("false-negatives", "false-positives", "failures")


def image_count(images: str) -> int | None:
    """The number of images, None for all. Raises UsageError."""
    if images == "all":
        return None
    if not images.isdecimal() or int(images) < 1:
        raise UsageError(f"--images must be a whole number of at least 1, or all; got '{images}'")
    return int(images)


def chosen_images(
    context: Context, predicted: Run, *, split: str | None, only: str | None, count: int | None, seed: int
) -> tuple[str, list[PredictedImage]]:
    """The split and a sample of its images, balanced over labels.

    split: None means test, or all if no test image was scored. only: see ONLY. count: None means all images.
    Raises JobError if no image qualifies.
    """
    from engine.datasets.sampling import stratified

    with session.reading(context.engine) as db:
        scored = predictions.of_run(db, predicted.id)
    split = split or ("test" if any(item.split == "test" for item in scored) else "all")
    candidates = [item for item in scored if split in ("all", item.split)]
    threshold = thresholds_of(predicted)["all"]

    def wrong(item: PredictedImage) -> str | None:
        if not item.failed(threshold):
            return None
        return "false-positives" if item.called(threshold) else "false-negatives"

    if candidates and only is not None:
        kinds = {"false-negatives", "false-positives"} if only == "failures" else {only}
        candidates = [item for item in candidates if wrong(item) in kinds]
        if not candidates:
            raise JobError(f"predict run {predicted.id} has no {only} in split '{split}'; leave --only out")
    if not candidates:
        raise JobError(f"predict run {predicted.id} scored no images of split '{split}'; choose another with --split")
    return split, stratified(
        candidates, count, stratum=lambda item: item.label, key=lambda item: item.sha256, seed=seed
    )
