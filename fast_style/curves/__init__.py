"""The objectives of several trainings, step by step."""
