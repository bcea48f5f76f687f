"""Probes: tensors in, 0-d numbers out, without waiting for the device."""
