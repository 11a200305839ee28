"""Trained classifiers: stored, loaded and run, alone, as an ensemble, or out of fold."""
