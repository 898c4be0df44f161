"""Training of many styles on one GPU or TPU, with Keras on JAX."""
