"""What is read: one module for each kind of question, each list one indexed query plus one count."""
