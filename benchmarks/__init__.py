"""What Tunewell costs and gains, measured beside what its users would pick instead; never a timed test."""
