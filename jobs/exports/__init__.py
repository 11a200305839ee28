"""What an export consists of: one function for each group of files."""
