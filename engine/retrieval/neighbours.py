"""What the nearest cases say of a query's label."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Vote:
    """How the hits whose label is known are labelled."""

    pneumonia: int
    known: int

    @property
    def share(self) -> float:
        """Share of pneumonia in [0, 1]; NaN where no hit's label is known."""
        return self.pneumonia / self.known if self.known else np.nan


def vote(labels: Sequence[int | None]) -> Vote:
    """Count the hits' labels: 1 pneumonia, 0 normal, None unknown."""
    known = [label for label in labels if label is not None]
    return Vote(pneumonia=sum(known), known=len(known))
