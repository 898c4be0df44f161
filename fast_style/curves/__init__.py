"""Comparison of the objectives of several trainings."""
