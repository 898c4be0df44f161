"""Stylizing in the style of any image: its statistics, and the network that they decide."""
