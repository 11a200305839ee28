"""The parts of an embed run: image vectors, and the mapping of texts into their space."""
