"""What an evaluation stores of a run's figures by coverage, made from its predictions."""

from collections.abc import Callable

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Image, Metric, Prediction, Run
from engine.metrics.bootstrap import Interval
from engine.metrics.classification import Sample, measure
from engine.metrics.evaluation import Measured
from engine.metrics.selective import selective


def measure_coverages(
    db: Session, source: Run, *, split: str, threshold: float, said: Callable[[float], float] = float
) -> None:
    """Let the evaluation have read the run and measured its figures by coverage on a split, all images of which it
    predicted. said: what becomes of each probability first."""
    evaluated = db.scalars(select(Run).where(Run.kind == "evaluate")).one()
    evaluated.config = {**evaluated.config, f"{source.kind}_run": source.id}
    query = select(Image.label, Prediction.probability, Image.patient_key)
    query = query.join(Prediction, Prediction.image_id == Image.id).where(Prediction.run_id == source.id)
    rows = [row for row in db.execute(query) if row.label is not None]
    if not rows:
        return
    sample = Sample.of([row.label for row in rows], [said(row.probability) for row in rows], threshold=threshold)
    found = selective(sample, [row.patient_key for row in rows], seed=0, replicates=50)
    found += [Measured("threshold", "all", Interval(threshold, np.nan, np.nan, len(rows)))]
    for metric in db.scalars(select(Metric).where(Metric.run_id == evaluated.id, Metric.name == "accuracy")):
        if metric.split == split:
            metric.value = measure(sample)["accuracy"]
    for one in found:
        ends = (one.interval.value, one.interval.low, one.interval.high)
        value, low, high = (None if np.isnan(end) else float(end) for end in ends)
        row = {"name": one.name, "split": split, "slice": one.slice, "step": one.step, "n": one.interval.n}
        db.add(Metric(run_id=evaluated.id, value=value, low=low, high=high, **row))
