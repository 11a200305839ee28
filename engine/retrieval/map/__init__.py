"""Maps of all images in two dimensions."""
