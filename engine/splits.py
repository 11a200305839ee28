"""How images are dealt into folds: grouped by patient, stratified by diagnosis."""

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from engine.errors import InputError


def grouped_folds(strata: np.ndarray, patients: np.ndarray, *, folds: int = 5, seed: int = 0) -> np.ndarray:
    """The fold, 0 to folds - 1, that holds each image out; no patient stands in two.

    strata: (n,), what each fold should hold the same share of, such as normal / bacterial / viral.
    patients: (n,), patient keys. Returns int (n,).
    Raises InputError where a stratum has fewer patients than there are folds.
    """
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
