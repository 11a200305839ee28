"""The parts of forgetting runs and datasets."""
