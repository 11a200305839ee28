"""Cross-validation folds, grouped by patient and stratified by diagnosis; the split a classifier is evaluated on."""

from collections.abc import Collection

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import InputError
from engine.labels import CLASSES

OUT_OF_FOLD = "oof"
"""The split name of out-of-fold results: training images, each scored only by members that did not see its patient."""
LEARNT_FROM = ("train", "val")
"""The splits that index centres and text mappings are fitted on, and whose labels reports may quote. A classifier also
trains on images that have no split. Test influences none of them."""
UNSPLIT = "all"
"""The split name of results on images that the source assigns to no split."""


def evaluated_split(splits: Collection[str]) -> str:
    """The split to evaluate a classifier on: test if present or if there are no splits, else the first by name."""
    return "test" if "test" in splits else min(splits, default="test")


def grouped_folds(
    labels: ArrayLike, patients: ArrayLike, *, causes: ArrayLike | None = None, folds: int = 5, seed: int = 0
) -> NDArray[np.intp]:
    """The fold, 0 to folds - 1, in which each image is held out; no patient is in two folds.

    labels: (n,), 1 pneumonia, 0 normal. patients: (n,), patient keys. causes: (n,), of pneumonia, empty if unknown.
    Each fold has about the same proportion of each label and cause, see `strata`. Returns int (n,).
    Raises InputError if a label has fewer patients than there are folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # late: pages need `evaluated_split` only

    truth, keys = np.asarray(labels), np.asarray(patients)
    known, name = min((len(np.unique(keys[truth == label])), CLASSES[label]) for label in np.unique(truth))
    if known < folds:
        fewer = "ask for fewer folds with --folds, " if known > 1 else ""
        raise InputError(
            f"'{name}' has {known} training patients and {folds} folds need at least {folds}; "
            f"add images, {fewer}or name the patients in column 'patient' of labels.csv"
        )
    named = strata(truth, keys, np.full(len(truth), "") if causes is None else np.asarray(causes), folds=folds)
    fold_of = np.full(len(truth), -1)
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    for fold, (_, held_out) in enumerate(splitter.split(named, named, keys)):
        fold_of[held_out] = fold
    return fold_of


def strata(
    labels: NDArray[np.integer], patients: NDArray[np.str_], causes: NDArray[np.str_], *, folds: int
) -> NDArray[np.str_]:
    """The stratum of each image, str (n,): normal, or a cause of pneumonia that has at least one patient per fold.

    Images of rarer or unknown causes form one stratum, "pneumonia"; if that has fewer patients than there are folds,
    they join the most common cause.
    """
    ill = labels == 1
    named = np.where(ill, np.where(causes == "", CLASSES[1], causes), CLASSES[0])

    def counted() -> dict[str, int]:
        return {name: len(np.unique(patients[named == name])) for name in np.unique(named[ill]).tolist()}

    rare = [name for name, count in counted().items() if count < folds]
    named[np.isin(named, rare) & ill] = CLASSES[1]
    counts = counted()
    if counts.get(CLASSES[1], folds) < folds:
        named[named == CLASSES[1]] = max(counts, key=lambda name: counts[name])
    return named
