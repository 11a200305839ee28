"""What training sees: augmented views of the images, and the frozen trunk's maps of them."""
