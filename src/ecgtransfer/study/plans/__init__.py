"""What is asked: a plan, its file, and one that fits a time."""
