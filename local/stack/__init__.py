"""The programs of the local stack, and what starts them together."""
