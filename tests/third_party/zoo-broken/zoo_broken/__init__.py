"""Families broken in one way each, for the tests that must catch them; this one has no hooks."""
