"""A classifier's logits for its own training images, each by the members that did not see its patient."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.classification.classifiers.convolutional import Branch, Classifier
from engine.classification.stresses import STRESSES, stressed


def under_stress(
    classifier: Classifier,
    pixels: np.ndarray,
    folds: Sequence[np.ndarray],
    *,
    advance: Callable[[int], None] = lambda _: None,
) -> NDArray[np.float64]:
    """Out-of-fold logits of images unaltered and under each stress, averaged over the repeats of the cross-validation.

    pixels: uint8 (n, s, s). folds: for each repeat int (n,), the fold in which each image was held out. advance: called
    with the number of images that a member has scored in every way. Returns (1 + stresses, n).
    """
    recipe, copies = classifier.recipe, [None, *STRESSES]
    branches = {branch.backbone.spec.name: branch for branch in classifier.branches}
    logits = np.full((len(folds), len(copies), len(pixels)), np.nan)
    for repeat, fold_of in enumerate(folds):
        branch = branches[recipe.backbones[repeat % len(recipe.backbones)]]
        first = repeat // len(recipe.backbones) * recipe.folds  # members are stored by repeat, then by fold
        for fold in np.unique(fold_of):
            alone = Branch(branch.backbone, [branch.members[first + fold]])
            member = Classifier([alone], recipe, classifier.calibration, "", device=classifier.device)
            rows = np.flatnonzero(fold_of == fold)
            for row, name in enumerate(copies):
                seen = pixels[rows] if name is None else stressed(pixels[rows], name)
                logits[repeat, row, rows] = member.run(seen).logits
            advance(len(rows))
    return np.asarray(logits.mean(0))
