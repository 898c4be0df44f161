"""The number of cores that the networks of a process use."""

import os
from importlib.util import find_spec

from fast_style.hardware import usable_cores


def compute_on(cores: int) -> None:
    """Limits the networks that this process loads to a number of cores.

    Without a limit they take all cores of the process. OMP_NUM_THREADS has no effect, because both
    runtimes have their own threads.
    """
    if cores >= usable_cores():
        return
    os.environ["TF_NUM_INTRAOP_THREADS"] = str(cores)  # read when TensorFlow starts
    if find_spec("openvino") is not None:
        from fast_style.runtimes.openvino_network import core

        # Otherwise all processes pin their threads to the same first cores.
        limits = {"INFERENCE_NUM_THREADS": cores, "ENABLE_CPU_PINNING": False}
        core().set_property("CPU", limits)
