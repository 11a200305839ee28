"""Components of the search page."""
