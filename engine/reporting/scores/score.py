"""A score, and the facts that a report is scored against."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Score:
    """One score of one report. value: None if unknown. detail: what it is based on, as JSON values."""

    metric: str
    value: float | None
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CaseFacts:
    """Known facts about the image and its report; None or empty if unknown.

    label: 1 pneumonia, 0 normal. called: whether the classifier predicts pneumonia. zones: share of the heatmap in each
    lung zone ('right_lower' and so on), summing to 1. reference: a report by a person. cut: whether the generator
    stopped at its length limit.
    """

    label: int | None = None
    called: bool | None = None
    zones: Mapping[str, float] = field(default_factory=dict)
    reference: str | None = None
    cut: bool = False
