"""The devices of one process or of many that share the work, and what the processes agree upon."""
