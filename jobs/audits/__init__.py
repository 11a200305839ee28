"""The parts of an audit: one function for each question, all about one subject."""
