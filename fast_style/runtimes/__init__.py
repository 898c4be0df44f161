"""What runs a trained network: OpenVINO and TensorFlow, whole or a strip at a time."""
