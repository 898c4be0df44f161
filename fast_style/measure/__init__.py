"""The quality of a trained network: strokes, palette, scene and artefacts of its pictures."""
