"""What must never be lost, measured: runs killed, torn, filled up, flipped and left alone for a long time."""
