"""How images are dealt into folds: grouped by patient, stratified by diagnosis; and which split a classifier is judged
on."""

from collections.abc import Collection

import numpy as np

from engine.errors import InputError

OUT_OF_FOLD = "oof"
"""Where a classifier's values on its own training images stand, each scored by the members that did not see it."""
UNSPLIT = "all"
"""Where those of images stand that the source puts into no split."""


def judged_of(splits: Collection[str]) -> str:
    """The split that a classifier is judged on: test where it is there, or nothing is; else the first by name."""
    return "test" if "test" in splits else min(splits, default="test")


def grouped_folds(strata: np.ndarray, patients: np.ndarray, *, folds: int = 5, seed: int = 0) -> np.ndarray:
    """The fold, 0 to folds - 1, that holds each image out; no patient stands in two.

    strata: (n,), what each fold should hold the same share of, such as normal / bacterial / viral.
    patients: (n,), patient keys. Returns int (n,).
    Raises InputError where a stratum has fewer patients than there are folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # which pages that ask for `judged_of` need not load

    strata, patients = np.asarray(strata), np.asarray(patients)
    for stratum in np.unique(strata):
        known = len(np.unique(patients[strata == stratum]))
        if known < folds:
            raise InputError(
                f"'{stratum}' has {known} training patients and {folds} folds need at least {folds}; "
                "add images, or ask for fewer folds with --folds"
            )
    dealt = np.full(len(strata), -1)
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    for fold, (_, held_out) in enumerate(splitter.split(strata, strata, patients)):
        dealt[held_out] = fold
    return dealt
