"""What computes: images, classifiers, reports, retrieval and metrics; knows no database, page or command line."""
