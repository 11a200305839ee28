"""A dataset's results as jobs read and store them: runs, judged images, indexes, metrics."""
