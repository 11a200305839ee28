"""What runs in the browser: one component a file, with its script and stylesheet."""
