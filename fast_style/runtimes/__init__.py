"""Runs trained networks in OpenVINO and TensorFlow, on whole pictures or strips of them."""
