"""The parts of an evaluation: one module for each kind of result."""
