"""Tasks: what a model learns to do, one a file. Each encodes, collates, measures a loss, scores and predicts."""
