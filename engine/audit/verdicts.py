"""The conclusions of an audit, one clause per question, limited to what the intervals support."""

import math
from collections.abc import Mapping

from engine.metrics.bootstrap import Interval
from engine.metrics.names import FRAME_ONLY, FRAME_PROBES, P_VALUE, SEES_LUNG
from engine.metrics.robustness import UNALTERED
from engine.tables import number, span

SIMILAR = 0.5
"""Mean rank correlation from which maps with random weights count as the same as the trained ones'. Our own choice:
Adebayo et al. 2018 set no limit and show curves."""
DEPENDS = "maps depend on the weights"
"""The sanity check's verdict where maps with random weights are unlike the trained ones': it shows no more."""
ADJUSTED = 0.05
"""Adjusted p-value below which a gain counts."""
EMPTY = 0.5
"""Probability of an image without content from which deletion and insertion curves mean little."""
CHANCE = 0.5
"""Chance level of an AUC."""
MEASURED_ON = "called_pneumonia"
"""The group that deletion and insertion are assessed on, because heatmaps show evidence for pneumonia."""
GAINS = {"deletion": "deleting by heat", "insertion": "inserting by heat"}
COMPARED = {
    "better": "better than",
    "worse": "worse than",
    "no different": "no different from",
    "unknown": "not measurably different from",
}

SEPARATED = "classes separated"
"""How the verdict on shortcuts begins where a probe does better than chance."""

BORDER = ": possible shortcuts, but the frame includes parts of the lungs"

Values = Mapping[tuple[str, str], Interval]
"""Intervals by (metric name, slice), on the split that the classifier is evaluated on."""


def verdicts(values: Values) -> dict[str, str]:
    """Question -> clause, for each question that was answered."""
    clauses = {
        "sanity": _sanity(values),
        "faithfulness": _faithfulness(values),
        "shortcuts": _shortcuts(values),
        "association": _association(values),
        "robustness": _robustness(values),
        "near-duplicates": _duplicates(values),
    }
    return {name: clause for name, clause in clauses.items() if clause}


def sanity_verdict(similarity: Interval) -> str:
    """DEPENDS if the whole interval of the similarity to maps with random weights is below SIMILAR, else failed;
    unknown without an interval."""
    if not math.isfinite(similarity.high):
        return "unknown"
    return DEPENDS if similarity.high < SIMILAR else "failed"


def sign(gain: Interval, p_value: Interval | None) -> str:
    """better or worse if the adjusted p-value is below ADJUSTED and the interval, rounded to three decimals, excludes
    0, else no different; unknown without either."""
    if p_value is None or not math.isfinite(gain.low + p_value.value):
        return "unknown"
    if p_value.value >= ADJUSTED:
        return "no different"
    return "better" if round(gain.low, 3) > 0 else "worse" if round(gain.high, 3) < 0 else "no different"


def _sanity(values: Values) -> str:
    found = values.get(("sanity_rank_correlation", "network"))
    if found is None:
        return ""
    text = f"{sanity_verdict(found)}: rank correlation {_shown(found)} with heatmaps under random weights"
    dropped = constant_maps(values, "network")
    return f"{text}; {dropped} of {found.n + dropped} images left out because a map is constant" if dropped else text


def constant_maps(values: Values, where: str) -> int:
    """How many images have no rank correlation because a map is constant; all have a structural similarity."""
    ranked, every = (values.get((name, where)) for name in ("sanity_rank_correlation", "sanity_ssim"))
    return every.n - ranked.n if every and ranked else 0


def _faithfulness(values: Values) -> str:
    parts, n = [], 0
    for mode, what in GAINS.items():
        for order in ("random", "centre"):
            gain = values.get((f"{mode}_gain", f"over {order}, {MEASURED_ON}"))
            p_value = values.get((f"{mode}_gain{P_VALUE}", f"over {order}, {MEASURED_ON}"))
            if gain is not None:
                n = gain.n
                parts.append(f"{what} is {COMPARED[sign(gain, p_value)]} {order} order (gain {_shown(gain)})")
    for mode, picture in (("deletion", "grey"), ("insertion", "blurred")):
        alone = values.get(("occluded_probability", f"{picture}, {MEASURED_ON}"))
        if parts and alone is not None and alone.value >= EMPTY:
            already = f"an entirely {picture} image already has probability {number(alone.value)}"
            parts.append(f"but the {mode} curve is uninformative, because {already}")
    return f"in {n} images called pneumonia, {'; '.join(parts)}" if parts else ""


def _shortcuts(values: Values) -> str:
    probes = {where: found for (name, where), found in values.items() if name == "probe_auc"}
    blind = {where: found for where, found in probes.items() if where not in SEES_LUNG}
    separating = sorted((-found.value, where, found) for where, found in blind.items() if found.low > CHANCE)
    if not separating:
        measured = [found for found in blind.values() if math.isfinite(found.low)]
        unknown = "unknown: too few images of either class to measure any probe" if blind else ""
        return "no probe separates the classes better than chance" if measured else unknown
    named = ", ".join(f"{where} (AUC {_shown(found)})" for _, where, found in separating)
    bordering = any(where in (*FRAME_PROBES, FRAME_ONLY) for _, where, _ in separating)
    return f"{SEPARATED} by {named}{BORDER if bordering else ''}"


def _association(values: Values) -> str:
    """Which probes' scores rise with the output within a label; for frame probes also with the frame hidden."""
    found = {where: related for (name, where), related in values.items() if name == "probe_correlation"}
    rising = sorted((-one.value, where, one) for where, one in found.items() if round(one.low, 3) > 0)
    if rising:
        named = ", ".join(
            f"{where} (rank correlation {_shown(one)}{_unseen(values, where)})" for _, where, one in rising
        )
        return f"within a label, the classifier's probability is associated with the score of {named}"
    if not found:
        return ""
    if not any(math.isfinite(one.low) for one in found.values()):
        return "unknown: too few images of either class to measure any probe"
    return "within a label, the classifier's probability rises measurably with the score of no probe"


def _unseen(values: Values, where: str) -> str:
    """The probe's correlation with the output for images without their frame; empty if it was not measured."""
    hidden = values.get(("probe_correlation_hidden", where))
    return "" if hidden is None else f"; with the frame hidden {_shown(hidden)}"


def _robustness(values: Values) -> str:
    """What the AUC falls under, most first, and which stress changes most calls."""
    tested = {where: found for (name, where), found in values.items() if name == "stress_changed"}
    if not tested:
        return ""
    lost = {where: found for (name, where), found in values.items() if name == "stress_auc_difference"}
    known = {where: found for where, found in lost.items() if math.isfinite(found.high) or found.value == 0}
    falling = sorted((found.value, where, found) for where, found in known.items() if round(found.high, 3) < 0)
    parts = []
    if falling:
        named = ", ".join(f"{where} ({_shown(found)})" for _, where, found in falling)
        parts.append(f"AUC falls on images that are {named}")
    elif known:
        parts.append(f"AUC falls measurably under none of {len(known)} stresses")
    fewest, where = min((-found.value, where) for where, found in tested.items())
    if fewest:
        share = _share(tested[where])
        parts.append(f"most calls change on images that are {where} ({share}){_sides(values, where)}")
    else:
        parts.append("no stress changes a call")
    return "; ".join(parts)


def _sides(values: Values, where: str) -> str:
    """Recall and specificity under a stress and without; empty if either is unknown."""
    parts = []
    for name in ("recall", "specificity"):
        before, under = (values.get((f"stress_{name}", place)) for place in (UNALTERED, where))
        if before is None or under is None:
            return ""
        parts.append(f"{name} {number(under.value)} instead of {number(before.value)}")
    return f": {' and '.join(parts)}"


def _duplicates(values: Values) -> str:
    found = values.get(("near_duplicates", "all"))
    return "" if found is None else f"{round(found.value * found.n):,} of {found.n:,} images have one in training"


def _share(interval: Interval) -> str:
    low, high = 100 * interval.low, 100 * interval.high
    ends = f", {low:.1f} to {high:.1f} %" if math.isfinite(low) else ""
    return f"{100 * interval.value:.1f} %{ends}"


def _shown(interval: Interval) -> str:
    return f"{number(interval.value)} ({span(interval)})"
