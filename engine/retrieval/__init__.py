"""Similarity search: embedders, the vector index, neighbours, duplicates and maps of a collection."""
