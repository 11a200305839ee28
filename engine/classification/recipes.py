"""Which training recipes there are: each one named, frozen configuration."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """How a classifier is trained; stored with every run and checkpoint."""

    name: str
    backbone: str
    cut: int
    """First backbone stage that is trained."""
    views: int
    """Cached views of each image: the image as it is, and views - 1 augmented ones."""
    epochs: int
    batch_size: int
    tail_learning_rate: float
    head_learning_rate: float
    weight_decay: float
    hidden: int
    """Width of the head's hidden layer; 0 for a linear head."""
    dropout: float
    label_smoothing: float = 0.0
    folds: int = 5
    flip_average: bool = False
    """Average each image's logits with its mirror image's at inference."""


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="lite0",
            backbone="efficientnet_lite0",
            cut=16,
            views=6,
            epochs=8,
            batch_size=64,
            tail_learning_rate=3e-4,
            head_learning_rate=1e-3,
            weight_decay=1e-2,
            hidden=0,
            dropout=0.3,
            label_smoothing=0.05,
            flip_average=True,
        ),
        Recipe(
            name="seed",
            backbone="efficientnet_b3",
            cut=7,
            views=6,
            epochs=25,
            batch_size=32,
            tail_learning_rate=1e-4,
            head_learning_rate=1e-4,
            weight_decay=1e-5,
            hidden=256,
            dropout=0.4,
        ),
    )
}
"""`lite0` is the offline default. `seed` is the model Pneumoscope started from: EfficientNet-B3 with its last two
stages trained; its per-epoch augmentation is replaced by cached views."""
