"""Tunewell fine-tunes a pre-trained model on labelled data, watched, explained and repaired while it trains."""

__version__ = "0.1.0"
