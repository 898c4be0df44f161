"""Measures how much stylized clips flicker."""
