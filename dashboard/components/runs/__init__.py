"""Components of the runs page."""
