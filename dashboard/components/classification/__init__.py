"""What was measured of a classifier, on the overview and on its run's page."""
