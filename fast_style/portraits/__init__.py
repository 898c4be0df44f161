"""Faces in portraits: whose they are, and keeping them when a portrait is stylized."""
