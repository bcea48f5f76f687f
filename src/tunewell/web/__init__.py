"""The dashboard: a server that reads runs and writes their inboxes, and the page it serves. Loads no torch."""
