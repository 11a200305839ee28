"""Components of the reports page."""
