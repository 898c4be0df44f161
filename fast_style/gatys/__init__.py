"""Painting one picture by its pixels: the slow method of Gatys, Ecker and Bethge (2016)."""
