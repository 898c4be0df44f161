"""What this machine is, and the arithmetic that is fastest on it."""

import contextlib
import os
import platform
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fast_style import CHOOSES_ONEDNN

# Keras's dtype policy for each precision that a conf or flag may name: variables stay float32.
DTYPE_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
CGROUP = Path("/sys/fs/cgroup")
CPUINFO = Path("/proc/cpuinfo")
NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
# stderr belongs to the process: a second thread would restore the replacement of the first.
_SILENCE = threading.Lock()


def start_tensorflow() -> None:
    """Import TensorFlow and look for devices, without the notices its C++ side prints then.

    They are printed before its own log level takes effect (oneDNN is on, no CUDA driver, a failed
    cuInit), and would look like errors of a program that works.
    """
    with _silent_stderr():
        import tensorflow as tf

        tf.config.list_physical_devices()


def start_tensorflow_to_stylize() -> None:
    """start_tensorflow, without oneDNN where that makes a pass slower.

    With AVX2 alone oneDNN's convolutions of one picture take three times as long as TensorFlow's
    own, and at 2048 x 2048 minutes (TensorFlow 2.21 on AMD Zen 3); trainings are faster with it.
    A process that has already imported TensorFlow keeps its setting.
    """
    if CHOOSES_ONEDNN and _widest_is_avx2():
        os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
    start_tensorflow()


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    with _SILENCE:
        sys.stderr.flush()
        visible = os.dup(2)
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(visible, 2)
            os.close(visible)


def cpu_name() -> str:
    """The processor's name, for model cards and benchmark tables."""
    return _of_first_cpu("model name") or platform.processor() or platform.machine()


def bfloat16_unit() -> str | None:
    """'AMX' or 'AVX512_BF16', which multiplies bfloat16 in the CPU; None where there is neither."""
    units = {"amx_bf16": "AMX", "avx512_bf16": "AVX512_BF16"}
    return next((unit for flag, unit in units.items() if flag in _cpu_flags()), None)


def has_gpu() -> bool:
    """Whether TensorFlow computes on a GPU."""
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def nvidia_gpu() -> bool:
    """Whether a GPU's driver is there, and its GPUs are not hidden from this process.

    Asked of the driver, because asking TensorFlow takes seconds.
    """
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return NVIDIA_DRIVER.exists() and not hidden


def trains_on_avx2() -> bool:
    """Whether TensorFlow computes on a CPU whose widest vectors are those of AVX2."""
    return not has_gpu() and _widest_is_avx2()


def _widest_is_avx2() -> bool:
    flags = _cpu_flags()
    return "avx2" in flags and "avx512f" not in flags


def _cpu_flags() -> set[str]:
    """What the first processor can do, in Linux's names; empty where nothing says so."""
    return set(_of_first_cpu("flags").split())


def _of_first_cpu(key: str) -> str:
    """What Linux says of the first processor; '' where nothing does."""
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


def free_memory() -> int:
    """Bytes that a program can take now without swapping; 4e9 where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if "MemAvailable" in line)
    except (OSError, StopIteration):
        return 4_000_000_000
    try:  # a container's own limit
        limit = int((CGROUP / "memory.max").read_text())
        used = int((CGROUP / "memory.current").read_text())
        # Files read long ago count as used there, but their memory is freed on demand.
        lines = (CGROUP / "memory.stat").read_text().splitlines()
        read_long_ago = next(int(line.split()[1]) for line in lines if "inactive_file" in line)
        return min(free, limit - used + read_long_ago)
    except (OSError, ValueError, StopIteration):
        return free


def usable_cores() -> int:
    """How many of the machine's cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):  # Linux: what a container may use
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe() -> str:
    """One line for cards and logs: GPUs if there are any, CPU, cores, what multiplies bfloat16."""
    return ", ".join([*(gpu.get("device_name", "GPU") for gpu in _gpus()), describe_cpu()])


def describe_cpu() -> str:
    """describe() without the GPUs, and so without TensorFlow."""
    unit = f", {bfloat16_unit()}" if bfloat16_unit() else ""
    return f"{cpu_name()} ({usable_cores()} cores{unit})"


def fastest_precision() -> str:
    """'bfloat16' where it is faster than 'float32' on this machine, else 'float32'.

    bfloat16 is faster on GPUs of compute capability 8 and up, 3 to 5 times on CPUs with AMX and up
    to 2 times on those with AVX512_BF16, and slower than float32 everywhere else.
    """
    if gpus := _gpus():
        multiplies = all(gpu.get("compute_capability", (0, 0))[0] >= 8 for gpu in gpus)
    else:
        multiplies = bfloat16_unit() is not None
    return "bfloat16" if multiplies else "float32"


def _gpus() -> list[dict[str, Any]]:
    """What TensorFlow knows of each GPU."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    return [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
