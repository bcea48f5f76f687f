"""Training: state, loop, optimizers, checkpoints, evaluation, actions, and the driver that joins them."""
