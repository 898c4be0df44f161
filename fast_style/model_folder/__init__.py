"""A model folder on disk."""
