"""The vector index: its folder, exact and approximate search, and the centre that vectors are measured from."""
