"""Writing and scoring reports: what the jobs `report`, `import_reports` and `score` share."""
