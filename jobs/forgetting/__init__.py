"""What forgetting runs and datasets is made of."""
