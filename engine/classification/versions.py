"""Versions of the code, incremented when the same input gives another result, so that results are computed again."""

VIEWS = 4
"""engine.classification.augment and variations: cached views and everything trained on them."""
TRUNK = 4
"""engine.classification.trunk_cache and descriptions: the cached maps."""
TRAINING = 6
"""engine.classification.training and linear: the trained members."""
INFERENCE = 5
"""engine.classification.inference, statistics and explain: logits, features and heatmaps of one checkpoint."""
