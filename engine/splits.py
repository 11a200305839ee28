"""How images are dealt into folds: grouped by patient, stratified by diagnosis; and which split a classifier is judged
on."""

from collections.abc import Collection

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import InputError

OUT_OF_FOLD = "oof"
"""Where a classifier's values on its own training images stand, each scored by the members that did not see it."""
LEARNT_FROM = ("train", "val")
"""What classifiers, centres and words are learnt from; test never moves them."""
UNSPLIT = "all"
"""Where those of images stand that the source puts into no split."""
LABELS = ("normal", "pneumonia")


def evaluated_split(splits: Collection[str]) -> str:
    """The split that a classifier is judged on: test where it is there, or nothing is; else the first by name."""
    return "test" if "test" in splits else min(splits, default="test")


def grouped_folds(
    labels: ArrayLike, patients: ArrayLike, *, causes: ArrayLike | None = None, folds: int = 5, seed: int = 0
) -> NDArray[np.intp]:
    """The fold, 0 to folds - 1, that holds each image out; no patient stands in two.

    labels: (n,), 1 pneumonia, 0 normal. patients: (n,), patient keys. causes: (n,), of pneumonia, empty where unknown.
    Each fold holds about the same share of each label and cause, see `strata`. Returns int (n,).
    Raises InputError where a label has fewer patients than there are folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # which pages that ask for `evaluated_split` need not load

    truth, keys = np.asarray(labels), np.asarray(patients)
    known, name = min((len(np.unique(keys[truth == label])), LABELS[label]) for label in np.unique(truth))
    if known < folds:
        fewer = "ask for fewer folds with --folds, " if known > 1 else ""
        raise InputError(
            f"'{name}' has {known} training patients and {folds} folds need at least {folds}; "
            f"add images, {fewer}or tell whose they are in column 'patient' of labels.csv"
        )
    named = strata(truth, keys, np.full(len(truth), "") if causes is None else np.asarray(causes), folds=folds)
    dealt = np.full(len(truth), -1)
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    for fold, (_, held_out) in enumerate(splitter.split(named, named, keys)):
        dealt[held_out] = fold
    return dealt


def strata(
    labels: NDArray[np.integer], patients: NDArray[np.str_], causes: NDArray[np.str_], *, folds: int
) -> NDArray[np.str_]:
    """What each fold should hold the same share of: (n,), normal, and each cause that has a patient for every fold.

    Films of rarer causes and of none that is known are one stratum, pneumonia, or belong to the most common cause where
    they too are of fewer patients than there are folds.
    """
    ill = labels == 1
    named = np.where(ill, np.where(causes == "", LABELS[1], causes), LABELS[0])

    def counted() -> dict[str, int]:
        return {name: len(np.unique(patients[named == name])) for name in np.unique(named[ill]).tolist()}

    rare = [name for name, count in counted().items() if count < folds]
    named[np.isin(named, rare) & ill] = LABELS[1]
    counts = counted()
    if counts.get(LABELS[1], folds) < folds:
        named[named == LABELS[1]] = max(counts, key=lambda name: counts[name])
    return named
