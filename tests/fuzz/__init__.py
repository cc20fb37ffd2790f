"""Fuzzing: mutated notifications, messages, call records and reports."""
