"""How good a result is: classification, report and retrieval metrics, and their intervals."""
