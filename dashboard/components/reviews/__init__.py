"""Components of the reviews page."""
