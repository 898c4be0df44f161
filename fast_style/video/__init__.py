"""Clips: read, stylized, kept from flickering, and written again."""
