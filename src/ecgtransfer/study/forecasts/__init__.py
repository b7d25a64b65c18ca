"""What a plan will take and can show, before any run."""
