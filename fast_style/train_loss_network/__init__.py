"""Trains loss networks, such as the built-in one."""
