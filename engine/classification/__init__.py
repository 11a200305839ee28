"""The classifier: networks, the views they are trained on, training, and what trained classifiers answer."""
