"""What evaluation measures, a file each kind of result."""
