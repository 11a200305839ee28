"""Who writes reports: the registry of generators, and what each takes and gives."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.reporting.prompts import PromptStrategy


@dataclass(frozen=True)
class Case:
    """One radiograph to be reported, with what the classifier made of it.

    probability: calibrated, of pneumonia, in [0, 1]. threshold: in [0, 1]; at or above it the classifier calls
    pneumonia. high_recall_threshold: the more cautious operating point, None where unknown. zones: share of the
    heatmap in each lung zone, summing to 1, empty where there is no heat. pixels: uint8 (h, w), None unless the
    generator reads them.
    """

    probability: float
    threshold: float
    high_recall_threshold: float | None = None
    zones: Mapping[str, float] = field(default_factory=dict)
    pixels: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Generated:
    """A report as written. seconds: wall time of this one. tokens: generated; words where there is no tokenizer."""

    text: str
    seconds: float
    tokens: int


class ReportGenerator(Protocol):
    """What writes reports. Equal name, revision, settings and prompt on an equal case mean an equal report."""

    @property
    def name(self) -> str:
        """The registry's name."""

    @property
    def revision(self) -> str:
        """Changes whenever the generator would write something else."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Generation settings, as JSON."""

    @property
    def reads_pixels(self) -> bool:
        """Whether cases must carry their pixels."""

    @property
    def reads_prediction(self) -> bool:
        """Whether the text depends on the classifier; then reports are kept apart by classifier too."""

    @property
    def batch_size(self) -> int:
        """How many cases to hand over at a time."""

    def generate(self, cases: Sequence[Case], prompt: PromptStrategy) -> list[Generated]:
        """One report for each case, in order."""


def _template(_models: Path | None) -> ReportGenerator:
    from engine.reporting.generators.template import Template

    return Template()


REGISTRY: dict[str, Callable[[Path | None], ReportGenerator]] = {"template": _template}
"""Name -> what makes the generator from the local model folder; heavy imports happen inside."""


def load(name: str, *, models: Path | None = None) -> ReportGenerator:
    """The generator called `name`. Raises InputError that lists the known ones."""
    if name not in REGISTRY:
        raise InputError(f"report generator '{name}' is unknown; known: {', '.join(REGISTRY)}")
    return REGISTRY[name](models)
