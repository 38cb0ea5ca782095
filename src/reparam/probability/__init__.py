"""The bottleneck: mathematics only."""
