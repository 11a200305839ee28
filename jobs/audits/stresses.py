"""How the classifier does on altered copies of the audited images, and whose calls change."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.queries.audit import CHANGES, UNDER
from db.queries.predictions import PredictedImage
from db.writes import MetricValue
from jobs.audits.subject import Audit, column, files
from jobs.results.values import metric_value

IMAGES = 2000
"""Maximum number of images that are altered, each in every way; of more, a random sample."""


def stresses(audit: Audit) -> Iterator[MetricValue]:
    """AUC, recall and specificity under each stress and their differences, see `engine.metrics.robustness`.

    Of each altered image the number of stresses that change its call is stored, and its probability under these.
    """
    from engine.classification.stresses import STRESSES, stressed
    from engine.imaging.images import read_batch
    from engine.metrics.classification import Sample
    from engine.metrics.robustness import robustness

    subject, classifier = audit.subject, audit.classifier
    places = audit.drawn(np.arange(len(subject.judged)), IMAGES, stratum=np.zeros(len(subject.judged)))
    rows = [subject.judged[place] for place in np.sort(places)]

    def under_each(part: list[PredictedImage]) -> NDArray[Any]:
        pixels = read_batch(files(Path(subject.dataset.root), part), size=classifier.input_size)
        copies = (pixels, *(stressed(pixels, name) for name in STRESSES))
        return np.stack([classifier.run(copy).probabilities for copy in copies], axis=1)

    found = audit.sharded("stressed", rows, under_each, stage="scoring under stress")
    altered = dict(zip(STRESSES, found.T[1:], strict=True))
    unaltered = Sample.of(column(rows, "label"), found[:, 0], threshold=subject.threshold)
    called = unaltered.probabilities >= subject.threshold
    changed = {name: (values >= subject.threshold) != called for name, values in altered.items()}
    measures = {UNDER + name: np.where(changed[name], values, np.nan) for name, values in altered.items()}
    counts = np.sum(list(changed.values()), axis=0)
    audit.store([row.image_id for row in rows], {CHANGES: counts, **measures})
    patients = column(rows, "patient_key")
    for one in robustness(unaltered, altered, patients, seed=audit.seed, replicates=audit.replicates):
        yield metric_value(one.name, subject.split, one.slice, one.interval)
