"""What the page of reviews is made of."""
