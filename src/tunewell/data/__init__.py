"""From files to batches: formats, columns, labels, splits, ledger, encoded cache, order of batches.

Only numpy, pyarrow and the standard library: no torch, no transformers.
"""
