"""Who carries runs out, and where a run computes."""
