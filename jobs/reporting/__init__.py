"""How reports are written and scored: what the jobs `report` and `score` share."""
