"""Which cases are alike: embedders, the vector index, neighbours, and maps of a collection."""
