"""The program that trained the styles in pretrained/: on one accelerator, by Keras on JAX."""
