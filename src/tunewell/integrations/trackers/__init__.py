"""Tools that a run can log to beside its own record (`log_to` in a recipe): one a file, its name is the key."""
