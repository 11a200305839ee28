"""Components of the cases page and the map page."""
