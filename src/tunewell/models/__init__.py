"""Models: found, loaded, staged and exported. With `tasks`, the only place that touches transformers."""
