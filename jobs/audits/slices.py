"""The slices of audited images that the classifier fails on: their members, and how they differ."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from db import session, writes
from db.models import ErrorSlice, SliceMember
from db.writes import MetricValue
from jobs.audits.subject import Audit, column
from jobs.results.values import metric_value

if TYPE_CHECKING:
    from engine.audit.slices import Slice


def slices(audit: Audit) -> Iterator[MetricValue]:
    """Store every slice with its members; yields their error rates as metrics."""
    from engine.audit.shortcuts import STATISTICS
    from engine.audit.slices import find_slices
    from engine.imaging.heat import frame_share
    from engine.metrics.bootstrap import Interval

    subject, looks = audit.subject, audit.appearance
    greys = dict(zip(STATISTICS, looks["statistics"].T, strict=True))
    found = find_slices(
        looks["features"],
        column(subject.judged, "label"),
        subject.failed,
        column(subject.judged, "patient_key"),
        numbers={
            "brightness": greys["mean"],
            "contrast": greys["deviation"],
            "border brightness": looks["frame"].mean(axis=1),
            "file size": looks["bytes"],
            "width": column(subject.judged, "width"),
            "height": column(subject.judged, "height"),
            **({"heat in the frame": [frame_share(heat) for heat in audit.heat]} if subject.heatmaps else {}),
        },
        names={
            **subject.attributes,
            "cause": [row.cause or "" for row in subject.judged],
            "most heat": [max(zones, key=zones.__getitem__) if (zones := row.zones) else "" for row in subject.judged],
        },
        seed=audit.seed,
    )
    store(audit, found)
    for one in found:
        interval = Interval(one.rate, one.low, one.high, len(one.rows))
        yield metric_value("error_rate", subject.split, one.name, interval)
    yield metric_value(
        "error_rate", subject.split, "all", audit.mean(np.asarray(subject.failed, float), subject.judged)
    )


def store(audit: Audit, found: "Sequence[Slice]") -> None:
    """Store the slices and their members, replacing those of an earlier attempt."""
    with session.transaction(audit.run.context.engine) as db:
        writes.clear(db, ErrorSlice, audit.run.id)
        for one in found:
            row = ErrorSlice(
                run_id=audit.run.id,
                name=one.name,
                label=one.label,
                description=one.description,
                images=len(one.rows),
                patients=one.patients,
                failures=one.failures,
                rate=one.rate,
                low=one.low,
                high=one.high,
                p_value=one.p_value,
            )
            db.add(row)
            db.flush()
            members = [{"slice_id": row.id, "image_id": audit.subject.judged[place].image_id} for place in one.rows]
            writes.upsert(db, SliceMember, members, unique=("slice_id", "image_id"))
