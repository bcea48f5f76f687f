"""How often `tunewell diagnose` is right: real runs of other tools, sound and with a fault, read from their logs."""
