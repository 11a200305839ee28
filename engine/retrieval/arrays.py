"""The arrays that retrieval passes around."""

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
"""(n, d)."""
Ids = NDArray[np.int64]
"""(n,), image ids."""
