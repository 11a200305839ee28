"""The parts of an export: one function for each group of files."""
