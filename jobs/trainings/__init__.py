"""How each kind of recipe is carried out: `jobs.train` chooses."""
