"""Versions of the code, incremented when the same input gives another result, so that results are computed again."""

VIEWS = 4
"""Modules views.augment and views.variations: cached views and everything trained on them."""
TRUNK = 4
"""Modules views.trunk_cache and views.descriptions: the cached maps."""
TRAINING = 6
"""Modules networks.members, training.fold and training.linear: the trained members."""
INFERENCE = 5
"""Folder classifiers, networks.fusing and networks.statistics: logits, features and heatmaps of one checkpoint."""
