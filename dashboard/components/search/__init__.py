"""What the search page is made of."""
