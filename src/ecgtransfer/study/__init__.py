"""Which runs: plans, the one runner, executors and the ledger."""
