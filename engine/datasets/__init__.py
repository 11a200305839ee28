"""The images of a dataset: folder layouts, label sheets, what is skipped and why, folds, synthetic radiographs."""
