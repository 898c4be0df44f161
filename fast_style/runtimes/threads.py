"""On how many cores the networks of a process compute."""

import os
from importlib.util import find_spec

from fast_style.hardware import usable_cores


def compute_on(cores: int) -> None:
    """Let the networks that this process loads compute on so many cores, where there are more.

    By themselves they take all that the process may run on. OMP_NUM_THREADS says nothing to
    either runtime: OpenVINO has threads of its own, and so has TensorFlow.
    """
    if cores >= usable_cores():
        return
    os.environ["TF_NUM_INTRAOP_THREADS"] = str(cores)  # read when TensorFlow starts
    if find_spec("openvino") is not None:
        from fast_style.runtimes.openvino_network import core

        # Pinned, the threads of every process would sit on the same first cores.
        limits = {"INFERENCE_NUM_THREADS": cores, "ENABLE_CPU_PINNING": False}
        core().set_property("CPU", limits)
