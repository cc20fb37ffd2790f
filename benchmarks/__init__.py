"""Benchmarks of the app: costs and limits, each with a baseline."""
