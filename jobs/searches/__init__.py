"""The parts of a search: its answer to an image, a case or a text, and how that is printed and drawn."""
