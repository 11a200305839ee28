"""Training for each kind of recipe; `jobs.train` chooses among them."""
