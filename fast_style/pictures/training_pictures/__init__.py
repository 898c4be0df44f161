"""The pictures that a training learns from: read from folders or TFDS, or drawn."""
