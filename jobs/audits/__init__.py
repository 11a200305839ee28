"""What an audit consists of: one function for each question, all of them on one subject."""
