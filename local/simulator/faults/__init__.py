"""Faults on demand: wrong responses, broken connections, forged notifications."""
