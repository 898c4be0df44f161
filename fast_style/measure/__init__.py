"""How good a trained network is: its strokes, palette, scene, and what spoils its pictures."""
