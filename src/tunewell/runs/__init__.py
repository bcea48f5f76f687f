"""A run's directory: its log, checkpoints, lock, per-row losses, and the views rebuilt from them."""
