"""Families broken in one way each, for the tests that must catch them. As a family itself: one without hooks."""
