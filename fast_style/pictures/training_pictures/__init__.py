"""The pictures that a network is trained on: from folders, from TFDS, or synthetic."""
