"""Auditing a classifier: faithfulness of its heatmaps, shortcuts, and slices with high error rates."""
