"""Hostile bodies: mutated notifications, messages, call records and reports, guided by the branches that they reach."""
