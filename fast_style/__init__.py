"""fast-style trains feed-forward style networks and runs them."""

import os

# A person's own choice stands; hardware.start_tensorflow_to_stylize has another.
CHOOSES_ONEDNN = "TF_ENABLE_ONEDNN_OPTS" not in os.environ
# TensorFlow leaves oneDNN off on CPUs without AVX-512, though trainings are faster with it there.
# It has to be set before TensorFlow is first imported.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# Hides the start-up banner and the cuInit complaint of machines without a GPU, not real errors.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

__version__ = "0.1.0"
