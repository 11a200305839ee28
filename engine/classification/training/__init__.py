"""Training one fold, epoch by epoch, resumable."""
