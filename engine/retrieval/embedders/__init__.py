"""The embedders, which turn radiographs, and in some cases texts, into comparable unit vectors."""

import re
from dataclasses import replace
from pathlib import Path

from engine.errors import InputError
from engine.retrieval.embedders import aligned, contrastive, features, multiview
from engine.retrieval.embedders.protocol import Embedder, EmbedderSpec, Sources, unit

__all__ = [
    "APART",
    "OWN",
    "REGISTRY",
    "Embedder",
    "EmbedderSpec",
    "cautions",
    "lies_apart",
    "load_embedder",
    "reads_text",
    "spec",
    "train_run_named",
    "unit",
]

TRAINED = "its weights are a train run's checkpoint"
APART = "Training images lie apart from all others in this index: to search them, filter hits by split."
"""The caution about an embedder whose spec says `apart`."""
OWN = "These are the classifier's own features: similar cases tend to share its errors and are not a second opinion."
"""The caution about an embedder whose spec says `learnt`."""
REGISTRY = {
    each.name: each
    for each in (
        EmbedderSpec(
            *("imagenet-lite0", features.imagenet_lite0, False, 1280, "ImageNet-1k, efficientnet-lite0", "Apache-2.0"),
            own_weights="its weights come with pip",
        ),
        EmbedderSpec("resnet50", features.resnet50, False, 2048, "ImageNet-1k, torchvision V2", "BSD-3-Clause"),
        EmbedderSpec(
            *("classifier", aligned.classifier, False, None, "the train run's checkpoint", "as its backbone's"),
            own_weights=TRAINED,
            learnt=True,
        ),
        EmbedderSpec(
            *("aligned", aligned.aligned, True, None, "the train run's checkpoint, all-MiniLM-L6-v2", "Apache-2.0"),
            own_weights=TRAINED,
            mapped=True,
            learnt=True,
        ),
        EmbedderSpec(
            *("multiview", multiview.multiview, False, None, "the train run's checkpoint", "as its backbone's"),
            own_weights=TRAINED,
            learnt=True,
            apart=True,
        ),
        EmbedderSpec("clip", contrastive.published_clip, True, 512, "ViT-B/32, OpenAI", "MIT"),
        EmbedderSpec("biomedclip", contrastive.published_clip, True, 512, "PubMedBERT_256-vit_base_patch16_224", "MIT"),
    )
}
"""Embedders by name; to add one: one line here. classifier:RUN and open_clip:MODEL exist in addition."""


def load_embedder(
    name: str, *, models: Path | None = None, weights: Path | None = None, checkpoint: Path | None = None
) -> Embedder:
    """The embedder called `name`, ready to run.

    models: local model folder. weights: file or folder to use instead. checkpoint: folder of a train run's checkpoint,
    for embedders made from a classifier. Raises InputError if the name is unknown, if weights are given for an embedder
    that takes none, or if its weights are missing, damaged or of another model.
    """
    wanted = spec(name)
    if weights is not None and wanted.own_weights:
        raise InputError(f"embedder '{name}' takes no --weights: {wanted.own_weights}; leave it out")
    return wanted.load(wanted, Sources(models, weights, checkpoint))


def spec(name: str) -> EmbedderSpec:
    """The properties of the embedder called `name`. Raises InputError for an unknown name."""
    if name in REGISTRY:
        return REGISTRY[name]
    if train_run_named(name) is not None:
        return replace(REGISTRY["classifier"], name=name)
    if name.startswith(contrastive.PREFIX) and len(name) > len(contrastive.PREFIX):
        return EmbedderSpec(name, contrastive.any_clip, True, None, "the checkpoint's", "as its publisher's")
    raise InputError(
        f"embedder '{name}' is unknown; known: {', '.join(REGISTRY)}, classifier:RUN, "
        "open_clip:ARCHITECTURE/PRETRAINED and open_clip:hf-hub:ORG/NAME"
    )


def reads_text(name: str) -> bool:
    """Whether the embedder called `name` can embed texts; False for an unknown name."""
    known = _known(name)
    return known is not None and known.reads_text


def lies_apart(name: str) -> bool:
    """Whether the embedder called `name` embeds training images differently from others; False for an unknown name."""
    known = _known(name)
    return known is not None and known.apart


def cautions(name: str) -> list[str]:
    """What to bear in mind when an index of the embedder called `name` is searched; empty for an unknown name."""
    known = _known(name)
    return [OWN] * known.learnt + [APART] * known.apart if known else []


def _known(name: str) -> EmbedderSpec | None:
    """`spec`, or None for a name that an older or newer version stored."""
    try:
        return spec(name)
    except InputError:
        return None


def train_run_named(name: str) -> int | None:
    """The id of the train run in a name such as classifier:19, or None; ids have at most ten digits."""
    found = re.fullmatch("classifier:([0-9]{1,10})", name)
    return int(found[1]) if found else None
