"""Who writes reports: the registry of generators, and what each takes and gives."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.reporting.prompts import PromptStrategy

UNKEPT = {0: None} | dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}")
"""What text may not hold to be kept by both databases and written as UTF-8: NUL and lone surrogates."""


@dataclass(frozen=True)
class LabelledCase:
    """A case of another patient that looks alike. number: its image's id. label: 1 pneumonia, 0 normal. similarity:
    cosine, in [-1, 1]. report: what a person wrote of it, None where nobody did."""

    number: int
    label: int
    cause: str | None
    similarity: float
    report: str | None = None


@dataclass(frozen=True)
class Case:
    """One radiograph to be reported, with what the classifier made of it.

    probability: of pneumonia, in [0, 1]. threshold: in [0, 1]; at or above it the classifier calls
    pneumonia. high_recall_threshold: the more cautious operating point, None where unknown. zones: share of the
    heatmap in each lung zone, summing to 1, empty where there is no heat, None where there is no heatmap. pixels:
    uint8 (h, w), None unless the generator reads them. nearest: labelled cases of other patients, the most similar
    first, empty unless the generator reads them. path: the image's, in its data set.
    """

    probability: float
    threshold: float
    high_recall_threshold: float | None = None
    zones: Mapping[str, float] | None = field(default_factory=dict)
    pixels: NDArray[np.uint8] | None = None
    nearest: Sequence[LabelledCase] = ()
    path: str = ""


@dataclass(frozen=True)
class Generated:
    """A report as written, in text that can be kept. seconds: wall time of this one. tokens: generated; words where
    there is no tokenizer. cut: whether it stopped at the length limit."""

    text: str
    seconds: float
    tokens: int
    cut: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", storable(self.text))


@dataclass(frozen=True)
class Failed:
    """A report that could not be written, and why, in one line that can be kept."""

    reason: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", storable(self.reason))


Outcome = Generated | Failed


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
    def reads_nearest(self) -> int:
        """How many labelled cases of other patients a case must carry; 0 for none."""

    @property
    def batch_size(self) -> int:
        """How many cases to hand over at a time."""

    def generate(self, cases: Sequence[Case], prompt: PromptStrategy) -> Iterable[Mapping[int, Outcome]]:
        """One report for each case, or why there is none: what comes together at a time, by the case's place in
        `cases`. Raises InputError where none can be written."""


@dataclass(frozen=True)
class Options:
    """How a generator is to work; each takes what concerns it.

    quantise: bits of the weights, 4 or 8, on a GPU. deadline: seconds for one report, all tries together.
    """

    models: Path | None = None
    batch_size: int = 4
    max_tokens: int = 512
    seed: int = 0
    quantise: Literal[4, 8] | None = None
    concurrency: int = 32
    deadline: float = 120.0


def _template(_name: str, _options: Options) -> ReportGenerator:
    from engine.reporting.generators.template import Template

    return Template()


def _nearest(_name: str, _options: Options) -> ReportGenerator:
    from engine.reporting.generators.nearest import Nearest

    return Nearest()


def _published(name: str, options: Options) -> ReportGenerator:
    from engine.reporting.generators.vision_language import VisionLanguage

    return VisionLanguage(name, options)


def _endpoint(name: str, options: Options) -> ReportGenerator:
    from engine.reporting.generators.endpoint import Endpoint

    return Endpoint(name, options)


REGISTRY: dict[str, Callable[[str, Options], ReportGenerator]] = {
    "template": _template,
    "nearest": _nearest,
    "blip2": _published,
    "medgemma": _published,
    "llava": _published,
    "hf:ORG/NAME": _published,
    "openai:MODEL@URL": _endpoint,
}
"""Name, or the form of it -> what makes the generator; heavy imports happen inside."""


def storable(text: str) -> str:
    """The text as it can be kept: without NUL characters, U+FFFD in the place of lone surrogates."""
    return text.translate(UNKEPT)


def check(name: str) -> str:
    """The registry's entry for `name`. Raises InputError that lists the known ones."""
    kind, colon, _ = name.partition(":")
    known = {form.partition(":")[0] if ":" in form else form: form for form in REGISTRY}
    form = known.get(kind)
    if form is None or bool(colon) != (":" in form):
        raise InputError(f"report generator '{name}' is unknown; known: {', '.join(REGISTRY)}")
    return form


def load(name: str, options: Options | None = None) -> ReportGenerator:
    """The generator called `name`. Raises InputError where it is unknown, or says what it lacks."""
    return REGISTRY[check(name)](name, options or Options())
