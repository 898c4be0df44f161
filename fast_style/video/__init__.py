"""Reads, stylizes, smooths and writes clips."""
