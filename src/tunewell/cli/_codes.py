"""Exit codes of all verbs."""

DONE = 0
FAILED = 1
BAD_INPUT = 2
STOPPED = 3
"""By a policy's judgement."""
HUNG_UP = 129
"""By a terminal that was closed."""
INTERRUPTED = 130
"""By Ctrl-C."""
TERMINATED = 143
"""By SIGTERM."""
