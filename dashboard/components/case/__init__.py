"""What the page of one case is made of."""
