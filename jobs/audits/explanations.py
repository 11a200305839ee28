"""Whether the heatmaps can be trusted: randomised weights, deletion and insertion, heat in the outer frame."""

from collections.abc import Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from db.queries.predictions import PredictedImage
from db.writes import MetricValue
from engine.errors import InputError
from engine.metrics.names import P_VALUE
from jobs.audits.subject import Audit, column, files
from jobs.results.values import metric_value

if TYPE_CHECKING:
    from engine.audit.sanity import Part

SANITY_IMAGES, DRAWS = 48, 2
SHARD = 8
"""Images whose curves are stored in one file; they take about a thousand forward passes."""


def sanity(audit: Audit) -> Iterator[MetricValue]:
    """Similarity of each sampled image's heatmap to its heatmap under randomised weights, and to another image's."""
    from engine.audit.sanity import PARTS, randomised, rank_correlation, structural_similarity
    from engine.imaging.images import read_batch

    classifier, judged = audit.classifier, audit.subject.judged
    places = audit.drawn(np.arange(len(judged)), SANITY_IMAGES, stratum=column(judged, "label"))
    rows, maps = [judged[place] for place in places], audit.heat[places]
    root = Path(audit.subject.dataset.root)

    def under_new_weights(part: "Part", rows: list[PredictedImage]) -> NDArray[Any]:
        pixels = read_batch(files(root, rows), size=classifier.input_size)
        found = []
        for draw in range(DRAWS):
            blank = randomised(classifier, part, seed=audit.seed + draw)
            heat = blank.run(pixels, heatmaps=True).heatmaps
            assert heat is not None
            found.append([rank_correlation(maps, heat), structural_similarity(maps, heat)])
        return np.asarray(np.mean(found, axis=0).T)

    for part in PARTS:
        compute = partial(under_new_weights, part)
        stage = f"randomising the {part}"
        values = audit.sharded(f"sanity-{part}", rows, compute, stage=stage, size=len(rows))
        yield from _similar(audit, part, values, rows)
    other = np.roll(maps, 1, axis=0)
    values = np.stack([rank_correlation(maps, other), structural_similarity(maps, other)], axis=1)
    yield from _similar(audit, "another image", values, rows)


def _similar(audit: Audit, where: str, values: NDArray[Any], rows: list[PredictedImage]) -> Iterator[MetricValue]:
    for name, found in zip(("sanity_rank_correlation", "sanity_ssim"), values.T, strict=True):
        yield metric_value(name, audit.subject.split, where, audit.tested(found, rows).interval)


def faithfulness(audit: Audit) -> Iterator[MetricValue]:
    """Deletion and insertion curves, their areas, and the heatmap's gain over other pixel orders, by image group."""
    from engine.audit.faithfulness import MODES, ORDERS, area, curves
    from engine.imaging.images import read_batch

    subject, classifier = audit.subject, audit.classifier
    hot = audit.heat.max(axis=(1, 2)) > 0
    groups = grouped(audit, hot)
    places = sorted({place for members in groups.values() for place in members.tolist()})
    if not places:
        raise InputError("no audited image has any heat to delete or insert")
    rows = [subject.judged[place] for place in places]
    heat = {row.image_id: audit.heat[[place]] for row, place in zip(rows, places, strict=True)}

    def measured(part: list[PredictedImage]) -> NDArray[Any]:
        pixels = read_batch(files(Path(subject.dataset.root), part), size=classifier.input_size)
        return np.concatenate(
            [
                curves(
                    lambda pictures: classifier.run(pictures).probabilities,
                    pixels[[number]],
                    heat[row.image_id],
                    rng=np.random.default_rng([audit.seed, int(row.sha256[:8], 16)]),
                )
                for number, row in enumerate(part)
            ]
        )

    found = audit.sharded("curves", rows, measured, stage="deletion and insertion", size=SHARD)
    areas = area(found)  # (n, orders, modes)
    gains = np.stack([areas[:, 1:, 0] - areas[:, :1, 0], areas[:, :1, 1] - areas[:, 1:, 1]], axis=2)
    audit.store([row.image_id for row in rows], {f"{m}_gain": gains[:, 0, i] for i, m in enumerate(MODES)})
    for group, members in groups.items():
        chosen = np.isin(places, members)
        of_group = [row for row, is_in in zip(rows, chosen, strict=True) if is_in]
        ends = {"as it is": found[chosen, 0, 0, 0], "grey": found[chosen, 0, 0, -1], "blurred": found[chosen, 0, 1, 0]}
        for name, values in ends.items():
            interval = audit.mean(values, of_group)
            yield metric_value("occluded_probability", subject.split, f"{name}, {group}", interval)
        for i, mode in enumerate(MODES):
            for j, order in enumerate(ORDERS):
                interval = audit.mean(areas[chosen, j, i], of_group)
                yield metric_value(f"{mode}_auc", subject.split, f"{order}, {group}", interval)
                for step, values in enumerate(found[chosen, j, i].T):
                    mean = audit.mean(values, of_group)
                    yield metric_value(f"{mode}_{order}", subject.split, group, mean, step=step)
        yield from _gains(audit, gains[chosen], of_group, group)


def _gains(audit: Audit, gains: NDArray[Any], rows: list[PredictedImage], group: str) -> Iterator[MetricValue]:
    """The heatmap's mean gain over each other order, and p-values adjusted for all gains of the group (Holm 1979).

    gains: (n, orders, modes).
    """
    from engine.audit.faithfulness import MODES, ORDERS
    from engine.metrics.bootstrap import Interval
    from engine.metrics.multiplicity import holm

    pairs = list(product(range(len(ORDERS) - 1), range(len(MODES))))
    found = [audit.tested(gains[:, j, i], rows) for j, i in pairs]
    adjusted = holm([one.p_value for one in found])
    for (j, i), one, p_value in zip(pairs, found, adjusted, strict=True):
        name, where = f"{MODES[i]}_gain", f"over {ORDERS[j + 1]}, {group}"
        yield metric_value(name, audit.subject.split, where, one.interval)
        p = Interval(float(p_value), np.nan, np.nan, one.interval.n)
        yield metric_value(f"{name}{P_VALUE}", audit.subject.split, where, p)


def grouped(audit: Audit, hot: NDArray[np.bool_]) -> dict[str, NDArray[np.intp]]:
    """Group -> positions of the audited images to measure, a seeded sample; empty groups are omitted.

    hot: bool (n,), which images have any heat; a map without heat ranks no pixels.
    """
    subject = audit.subject
    called, label = subject.called, column(subject.judged, "label") == 1
    groups = {
        "called_pneumonia": called,
        "called_normal": ~called,
        "false_alarms": called & ~label,
        "misses": ~called & label,
    }
    found = {}
    for name, belongs in groups.items():
        places = np.flatnonzero(belongs & hot)
        if len(places):
            found[name] = np.sort(audit.drawn(places, audit.sample, stratum=np.zeros(len(places))))
    return found


def frame_heat(audit: Audit) -> Iterator[MetricValue]:
    """The share of each heatmap in the outer frame, by outcome, and the share of a uniform map there."""
    from engine.imaging.heat import frame_share
    from engine.metrics.bootstrap import Interval

    subject = audit.subject
    shares = np.array([frame_share(heat) for heat in audit.heat])
    known = np.isfinite(shares)
    ids = column(subject.judged, "image_id")
    audit.store(ids[known].tolist(), {"frame_heat": shares[known]})
    label, called = column(subject.judged, "label") == 1, subject.called
    slices = {"all": known, "TP": label & called, "FN": label & ~called, "FP": ~label & called, "TN": ~label & ~called}
    for name, chosen in slices.items():
        rows = [row for row, is_in in zip(subject.judged, chosen & known, strict=True) if is_in]
        if rows:
            yield metric_value("frame_heat", subject.split, name, audit.mean(shares[chosen & known], rows))
    even = frame_share(np.ones_like(audit.heat[0]))
    yield metric_value("frame_heat", subject.split, "even map", Interval(even, np.nan, np.nan, int(known.sum())))
