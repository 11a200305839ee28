"""What the list of cases and the map are made of."""
