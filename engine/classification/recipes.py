"""Which training recipes there are: each one named, frozen configuration."""

from dataclasses import dataclass
from typing import Literal

Precision = Literal["float32", "bfloat16", "float16"]
OperatingPoint = Literal["youden", "recall97", "half"]
"""A threshold: Youden's, the highest with an out-of-fold recall of .97, or a probability of one half."""


@dataclass(frozen=True)
class Recipe:
    """How a classifier is trained; stored with every run and checkpoint."""

    name: str
    backbones: tuple[str, ...]
    """Deal r of the folds trains on backbone r mod their number."""
    cut: int
    """First backbone stage that is trained; a negative one counts from the last."""
    views: int
    """Cached views of each image: as it is, its mirror image, and views - 2 varied ones. 0: nothing is cached, every
    epoch draws its views anew."""
    variation: str
    """How views are varied, see `views.VARIATIONS`."""
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
    """Share of the steps in which the learning rates rise from 0; then they fall by a cosine."""
    operating_point: OperatingPoint = "youden"
    """Which threshold is in force."""
    folds: int = 5
    repeats: int = 1
    """How often folds are dealt anew, each time with a seed of its own."""
    size: int = 224
    """Side that the network works at; films come at 224 and are made smaller."""
    hide_corners: bool = False
    """Whether the network sees the film through a rounded square, in training and after."""
    precision: Precision = "bfloat16"
    """Of training; float16 (with scaled losses) is for CUDA alone and is bfloat16 elsewhere."""
    keep: Literal["last", "best"] = "last"
    """Which epoch's weights make the classifier: the last, or that with the best AUC on the images held out."""
    flip_average: bool = False
    """Average each image's logits with its mirror image's."""


@dataclass(frozen=True)
class StatisticsRecipe:
    """How a linear classifier on map statistics of frozen backbones is fitted; stored with run and checkpoint.

    For each backbone and each training part of each deal of folds there are two fits: one on the films and their mirror
    images, which is keener, and one on all views, which holds better under stress. The classifier is their mean.
    """

    name: str
    backbones: tuple[str, ...]
    views: int
    """Cached views of each image: as it is, its mirror image, and views - 2 varied ones."""
    penalty: float
    """Weight of the squared weights, as 1 / C of scikit-learn's logistic regression on one view."""
    folds: int = 5
    repeats: int = 3
    """How often folds are dealt anew; each image's out-of-fold logit is the mean over the deals."""
    size: int = 224
    """Side of the input, pixels, for every backbone."""
    flip_average: bool = True


@dataclass(frozen=True)
class EnsembleRecipe:
    """Classifiers of other recipes as one, each trained by itself first; stored with run and checkpoint."""

    name: str
    parts: tuple[str, ...]
    """Recipes; an image's logit is the mean of theirs."""
    operating_point: OperatingPoint = "half"
    """Which threshold is in force."""


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
"""`lite0`, the offline default, trains the last block of one backbone on augmented views. `best` does so with three
backbones, a deal of folds and a seed for each, on films whose corners are hidden: ahead out of fold and in conflict,
three times the work (docs/decisions/0010, 0011). `restyled` trains most of the network on films that take each
other's style, drawn anew in every epoch: ahead on test, three times the work, and nothing for a few hundred films
(docs/decisions/0014). `seed` is the model Pneumoscope started from: EfficientNet-B3, its
last two stages trained, views drawn anew in every epoch, the best epoch kept. `statistics` is ahead out of fold and
under stress, and behind on the official test split (docs/decisions/0009); `quick` is the same with one backbone and
fewer views. `ensemble` averages `lite0` and `restyled`, which err on different films (docs/decisions/0017).
"""
