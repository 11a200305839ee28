"""What a classifier may be distrusted for: explanations that explain nothing, shortcuts, slices that fail."""
