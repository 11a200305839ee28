"""Everything that computes: images, classifiers, reports, retrieval, metrics; knows no database, pages or jobs."""
