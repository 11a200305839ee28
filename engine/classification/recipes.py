"""The training recipes; each is a named, frozen configuration."""

from dataclasses import dataclass
from typing import Literal

Precision = Literal["float32", "bfloat16", "float16"]
OperatingPoint = Literal["youden", "recall97", "half"]
"""A threshold rule: Youden's, the highest threshold with an out-of-fold recall of .97, or a probability of one half."""


@dataclass(frozen=True)
class Recipe:
    """How a classifier is trained; stored with every run and checkpoint."""

    name: str
    backbones: tuple[str, ...]
    """Repeat r of the cross-validation trains on backbone r modulo their number."""
    cut: int
    """First backbone stage that is trained; a negative number counts from the end."""
    views: int
    """Number of cached views of each image: the image, its mirror image, and views - 2 augmented ones. 0: no cache,
    every epoch draws new views."""
    variation: str
    """How views are augmented, see `views.VARIATIONS`."""
    epochs: int
    batch_size: int
    tail_learning_rate: float
    head_learning_rate: float
    weight_decay: float
    hidden: int
    """Width of the head's hidden layer; 0 for a linear head."""
    dropout: float
    label_smoothing: float = 0.0
    warm_up: float = 0.0
    """Fraction of the steps in which the learning rates rise from 0; afterwards they follow a cosine decay."""
    operating_point: OperatingPoint = "youden"
    """Operating point used by default."""
    folds: int = 5
    repeats: int = 1
    """Number of repeats of the cross-validation, each with other folds and its own random seed."""
    size: int = 224
    """Side of the network's input in pixels; images come at 224 and are downsampled."""
    hide_corners: bool = False
    """Whether the corners outside a rounded square are masked, in training and inference."""
    precision: Precision = "bfloat16"
    """Precision of training; float16 (with loss scaling) is for CUDA only and means bfloat16 elsewhere."""
    keep: Literal["last", "best"] = "last"
    """Which epoch's weights are used: the last, or the one with the best AUC on the held-out images."""
    flip_average: bool = False
    """Whether each image's logit is averaged with its mirror image's."""


@dataclass(frozen=True)
class StatisticsRecipe:
    """How a linear classifier on map statistics of frozen backbones is fitted; stored with every run and checkpoint.

    For each backbone and each training fold of each repeat there are two fits: one on the images and their mirror
    images, which discriminates better, and one on all views, which is more robust. The classifier is their mean.
    """

    name: str
    backbones: tuple[str, ...]
    views: int
    """Number of cached views of each image: the image, its mirror image, and views - 2 augmented ones."""
    penalty: float
    """Strength of the L2 penalty: 1 / C of scikit-learn's logistic regression on one view."""
    folds: int = 5
    repeats: int = 3
    """Number of repeats of the cross-validation; an image's out-of-fold logit is the mean over the repeats."""
    size: int = 224
    """Side of the input in pixels, for every backbone."""
    flip_average: bool = True


@dataclass(frozen=True)
class EnsembleRecipe:
    """An ensemble of classifiers of other recipes, each trained separately; stored with every run and checkpoint."""

    name: str
    parts: tuple[str, ...]
    """Names of the recipes; an image's logit is the mean of theirs."""
    operating_point: OperatingPoint = "half"
    """Operating point used by default."""


AnyRecipe = Recipe | StatisticsRecipe | EnsembleRecipe

RECIPES: dict[str, AnyRecipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="lite0",
            backbones=("efficientnet_lite0",),
            cut=-2,
            views=6,
            variation="augmented",
            epochs=8,
            batch_size=64,
            tail_learning_rate=3e-4,
            head_learning_rate=1e-3,
            weight_decay=1e-2,
            hidden=0,
            dropout=0.3,
            label_smoothing=0.05,
            operating_point="recall97",
            flip_average=True,
        ),
        Recipe(
            name="best",
            backbones=("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"),
            cut=-2,
            views=6,
            variation="augmented",
            epochs=6,
            batch_size=64,
            tail_learning_rate=3e-4,
            head_learning_rate=1e-3,
            weight_decay=1e-2,
            hidden=0,
            dropout=0.3,
            label_smoothing=0.05,
            warm_up=0.1,
            repeats=3,
            hide_corners=True,
            operating_point="recall97",
            flip_average=True,
        ),
        Recipe(
            name="restyled",
            backbones=("efficientnet_lite0",),
            cut=6,
            views=0,
            variation="restyled",
            epochs=6,
            batch_size=64,
            tail_learning_rate=3e-4,
            head_learning_rate=2e-3,
            weight_decay=5e-2,
            hidden=0,
            dropout=0.3,
            label_smoothing=0.05,
            warm_up=0.1,
            operating_point="youden",
            folds=3,
            size=160,
            precision="float32",
            flip_average=True,
        ),
        Recipe(
            name="seed",
            backbones=("efficientnet_b3",),
            cut=-2,
            views=0,
            variation="seed",
            epochs=25,
            batch_size=32,
            tail_learning_rate=1e-4,
            head_learning_rate=1e-4,
            weight_decay=1e-5,
            hidden=256,
            dropout=0.4,
            precision="float16",
            keep="best",
        ),
        StatisticsRecipe(
            name="statistics",
            backbones=("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"),
            views=6,
            penalty=100.0,
        ),
        StatisticsRecipe(name="quick", backbones=("efficientnet_lite0",), views=4, penalty=100.0),
        EnsembleRecipe(name="ensemble", parts=("lite0", "restyled")),
    )
}
"""`lite0`, the offline default, trains the last two stages of one backbone on cached augmented views. `best` does so
with three backbones, each with its own folds and seed, on images with masked corners: better out of fold and on images
whose appearance contradicts their label, at three times the cost (docs/decisions/0010, 0011). `restyled` trains most of
the network on images in each other's style, newly drawn in every epoch: better on test, at three times the cost, and
unsuitable for a few hundred images (docs/decisions/0014). `seed` is the original tool's classifier: EfficientNet-B3,
its last two stages trained, new views in every epoch, the best epoch kept. `statistics` is better out of fold and under
stress, but worse on the official test split (docs/decisions/0009); `quick` is the same with one backbone and fewer
views. `ensemble` averages `lite0` and `restyled`, which err on different images (docs/decisions/0017).
"""
