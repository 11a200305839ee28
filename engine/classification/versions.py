"""Which code a result was made by: numbers raised when the same input gives another result, so that it is made anew."""

VIEWS = 2
"""engine.classification.augment: cached views and what is trained on them."""
TRUNK = 1
"""engine.classification.trunk_cache: the cached maps."""
TRAINING = 1
"""engine.classification.training: the trained members."""
INFERENCE = 1
"""engine.classification.inference and explain: logits, features and heatmaps of one checkpoint."""
