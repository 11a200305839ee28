"""Metrics of a classifier, as shown on the overview and on its run page."""
