"""Trains on one GPU or TPU with JAX: whole data sets stay on the device."""
