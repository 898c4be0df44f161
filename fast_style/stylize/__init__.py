"""Stylizing pictures with a trained style."""
