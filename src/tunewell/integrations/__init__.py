"""Over other people's loops and logs: the same monitors, records and policies where Tunewell does not train itself."""
