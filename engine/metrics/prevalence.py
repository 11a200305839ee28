"""Predictive values at prevalences other than that of the evaluated images."""

from dataclasses import dataclass
from math import exp, isnan, log, sqrt
from statistics import NormalDist

from engine.metrics.bootstrap import Interval

PREVALENCES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


@dataclass(frozen=True)
class PredictiveValues:
    """ppv: proportion of predicted positives with pneumonia. npv: proportion of predicted negatives that are normal."""

    prevalence: float
    ppv: Interval
    npv: Interval


def predictive_values(
    prevalence: float, *, tp: int, fn: int, fp: int, tn: int, level: float = 0.95
) -> PredictiveValues | None:
    """Predictive values by Bayes' theorem from recall and specificity, with logit intervals (Mercaldo, Lau & Zhou
    2007).

    prevalence: proportion of pneumonia, strictly between 0 and 1. The intervals assume independent images. If a count
    is 0, half an image is added to each, so that logits are finite, and the interval is extended to include the value.
    A predictive value of a call that no image has is NaN, and so are its bounds. None if a label has no image. Recall
    and specificity are assumed to be the same at every prevalence, which does not hold if the spectrum of patients or
    disease changes.
    """
    if not tp + fn or not fp + tn:
        return None
    more = 0.5 if 0 in (tp, fn, fp, tn) else 0.0
    tp_, fn_, fp_, tn_ = (count + more for count in (tp, fn, fp, tn))
    ill, well = tp_ + fn_, fp_ + tn_
    odds = log(prevalence / (1 - prevalence))
    positive = log(tp_ / ill) - log(fp_ / well)
    negative = log(tn_ / well) - log(fn_ / ill)
    reach = NormalDist().inv_cdf((1 + level) / 2)

    def interval(value: float, middle: float, error: float) -> Interval:
        if isnan(value):
            return Interval(value, value, value, tp + fn + fp + tn)
        low, high = (1 / (1 + exp(-middle - side * reach * error)) for side in (-1, 1))
        return Interval(value, min(low, value), max(high, value), tp + fn + fp + tn)

    recall, specificity = tp / (tp + fn), tn / (fp + tn)
    found, alarms = recall * prevalence, fp / (fp + tn) * (1 - prevalence)
    missed, spared = fn / (tp + fn) * prevalence, specificity * (1 - prevalence)
    ppv = found / (found + alarms) if tp + fp else float("nan")
    npv = spared / (spared + missed) if tn + fn else float("nan")
    return PredictiveValues(
        prevalence,
        interval(ppv, odds + positive, sqrt(fn_ / tp_ / ill + tn_ / fp_ / well)),
        interval(npv, negative - odds, sqrt(tp_ / fn_ / ill + fp_ / tn_ / well)),
    )
