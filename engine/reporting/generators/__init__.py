"""The report generators: registry, interface, input and output."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.reporting.prompts import PromptStrategy

UNKEPT = {0: None} | dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}")
"""Characters that cannot be stored in both databases and written as UTF-8, NUL and lone surrogates -> replacement."""


@dataclass(frozen=True)
class LabelledCase:
    """A similar, labelled case of another patient. number: its image's id. label: 1 pneumonia, 0 normal. similarity:
    cosine, in [-1, 1]. report: its reference report, None if there is none."""

    number: int
    label: int
    cause: str | None
    similarity: float
    report: str | None = None


@dataclass(frozen=True)
class Case:
    """One radiograph to be reported, with the classifier's prediction.

    probability: of pneumonia, in [0, 1]. threshold: in [0, 1]; probabilities from it on are predicted positive.
    high_recall_threshold: the more cautious operating point, None if unknown. zones: share of the heatmap in each lung
    zone, summing to 1; empty if there is no heat, None if there is no heatmap. pixels: uint8 (h, w), None unless the
    generator reads them. nearest: labelled cases of other patients, most similar first, empty unless the generator
    reads them. path: of the image, relative to its dataset's folder.
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
    """A generated report; its text is made `storable`. seconds: wall time for this report. tokens: number generated, or
    of words if there is no tokenizer. cut: whether generation stopped at the length limit."""

    text: str
    seconds: float
    tokens: int
    cut: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", storable(self.text))


@dataclass(frozen=True)
class Failed:
    """A report that could not be generated. reason: one line, made `storable`."""

    reason: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", storable(self.reason))


Outcome = Generated | Failed


class ReportGenerator(Protocol):
    """The interface of report generators. Equal name, revision, settings, prompt and case give an equal report."""

    @property
    def name(self) -> str:
        """The registry's name."""

    @property
    def revision(self) -> str:
        """Identifies the model or rules; it changes whenever the generator would write something else."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Generation settings, as JSON values."""

    @property
    def reads_pixels(self) -> bool:
        """Whether cases must carry their pixels."""

    @property
    def reads_prediction(self) -> bool:
        """Whether the text depends on the classifier's prediction; if so, reports are stored for each classifier."""

    @property
    def reads_nearest(self) -> int:
        """The number of labelled cases of other patients that a case must carry; 0 for none."""

    @property
    def batch_size(self) -> int:
        """The number of cases to pass to `generate` at a time."""

    def generate(self, cases: Sequence[Case], prompt: PromptStrategy) -> Iterable[Mapping[int, Outcome]]:
        """One outcome for each case, in groups as they become available: index in `cases` -> outcome. Raises InputError
        if no report can be generated at all."""


@dataclass(frozen=True)
class Options:
    """Options for generators; each uses those that apply to it.

    models: local model folder. batch_size: images at a time. max_tokens: length limit of a report. quantise: bits of
    the weights, 4 or 8, on a GPU. concurrency: simultaneous requests to an endpoint. deadline: seconds for one report,
    retries included.
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
"""Name, or form of the name -> factory of the generator; factories do the heavy imports."""


def storable(text: str) -> str:
    """The text in a form that can be stored: NUL characters removed, lone surrogates replaced by U+FFFD."""
    return text.translate(UNKEPT)


def check(name: str) -> str:
    """The key of REGISTRY that fits `name`. Raises InputError that lists the known ones."""
    kind, colon, _ = name.partition(":")
    known = {form.partition(":")[0] if ":" in form else form: form for form in REGISTRY}
    form = known.get(kind)
    if form is None or bool(colon) != (":" in form):
        raise InputError(f"report generator '{name}' is unknown; known: {', '.join(REGISTRY)}")
    return form


def load(name: str, options: Options | None = None) -> ReportGenerator:
    """The generator called `name`. Raises InputError if the name is unknown, or if something it needs is missing."""
    return REGISTRY[check(name)](name, options or Options())
