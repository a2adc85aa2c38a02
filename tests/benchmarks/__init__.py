"""Benchmarks: `python -m tests.benchmarks` (or `zoo bench`) in a source checkout. None of them is a test."""
