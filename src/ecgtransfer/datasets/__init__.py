"""Many ECGs: sources and their tasks, preparing them, stores, splits, and a simulator."""
