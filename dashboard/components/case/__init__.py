"""Components of the case page."""
