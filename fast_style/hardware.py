"""The hardware of this machine, and the precision that is fastest on it."""

import os
import platform
import sys
import threading
from pathlib import Path
from typing import Any

from fast_style import CHOOSES_ONEDNN

# Keras's dtype policy for each precision of a conf or flag. Variables stay float32.
DTYPE_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
PRECISIONS = ("auto", *DTYPE_POLICIES, "int8")  # of a Stylizer
CGROUP = Path("/sys/fs/cgroup")
CPUINFO = Path("/proc/cpuinfo")
NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
# stderr belongs to the process, so only one thread at a time may replace it.
_SILENCE = threading.Lock()


def start_tensorflow() -> None:
    """Imports TensorFlow and looks for devices, without the messages of its C++ code.

    They come before its log level takes effect (oneDNN is on, no CUDA driver, a failed cuInit), and
    look like errors.
    """
    with _SILENCE:
        sys.stderr.flush()
        visible = os.dup(2)
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
        finally:
            os.dup2(visible, 2)
            os.close(visible)


def start_tensorflow_to_stylize() -> None:
    """Calls start_tensorflow, without oneDNN on CPUs with AVX2 but without AVX-512.

    On these, oneDNN's convolutions of one picture take three times as long as TensorFlow's own, and
    minutes at 2048 x 2048 (TensorFlow 2.21 on AMD Zen 3). Trainings are faster with it.
    A process that has already imported TensorFlow keeps its setting.
    """
    if CHOOSES_ONEDNN and _widest_is_avx2():
        os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
    start_tensorflow()


def bfloat16_unit() -> str | None:
    """Returns the unit of the CPU that multiplies bfloat16 faster than float32.

    It is 'AMX', 'AVX512_BF16' or None.
    """
    units = {"amx_bf16": "AMX", "avx512_bf16": "AVX512_BF16"}
    found = next((unit for flag, unit in units.items() if flag in _cpu_flags()), None)
    return None if hides_amx() else found


def hides_amx() -> bool:
    """Whether this is an Intel CPU whose AMX a virtual machine hides.

    Such CPUs multiply bfloat16 in AVX512_BF16 too, but passes and training steps take 1.4 to 1.7
    times as long as in float32 (Emerald Rapids, OpenVINO 2026.4 and TensorFlow 2.21).
    """
    flags = _cpu_flags()
    # All of Intel's server CPUs with AVX512_FP16 have AMX.
    from_sapphire_rapids_on = {"avx512_fp16", "avx512_bf16"} <= flags
    intel = _of_first_cpu("vendor_id") == "GenuineIntel"
    return intel and from_sapphire_rapids_on and "amx_bf16" not in flags


def has_gpu() -> bool:
    """Whether TensorFlow computes on a GPU."""
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def nvidia_gpu() -> bool:
    """Whether NVIDIA's driver is installed and its GPUs are not hidden from this process.

    It does not ask TensorFlow, which takes seconds to import.
    """
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return NVIDIA_DRIVER.exists() and not hidden


def trains_on_avx2() -> bool:
    """Whether TensorFlow computes on a CPU with AVX2 but without AVX-512."""
    return not has_gpu() and _widest_is_avx2()


def _widest_is_avx2() -> bool:
    flags = _cpu_flags()
    return "avx2" in flags and "avx512f" not in flags


def _cpu_flags() -> set[str]:
    """Returns the features of the first CPU, as Linux names them; empty if unknown."""
    return set(_of_first_cpu("flags").split())


def _of_first_cpu(key: str) -> str:
    """Returns a value of Linux's /proc/cpuinfo for the first CPU; '' if unknown."""
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


def free_memory() -> int:
    """Returns the bytes that can be allocated now without swapping; 4e9 if unknown."""
    try:
        free = 1024 * _number_in(Path("/proc/meminfo"), "MemAvailable:")
    except (OSError, StopIteration):
        return 4_000_000_000
    try:  # the limit of a container
        limit = int((CGROUP / "memory.max").read_text())
        used = int((CGROUP / "memory.current").read_text())
        # Includes files that were read long ago, whose memory the system frees on demand.
        return min(free, limit - used + _number_in(CGROUP / "memory.stat", "inactive_file"))
    except (OSError, ValueError, StopIteration):
        return free


def _number_in(file: Path, key: str) -> int:
    lines = file.read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))


def usable_cores() -> int:
    """Returns how many of the machine's cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe() -> str:
    """Returns one line for cards and logs: GPUs, if there are any, and describe_cpu()."""
    return ", ".join([*(gpu.get("device_name", "GPU") for gpu in _gpus()), describe_cpu()])


def describe_cpu() -> str:
    """Returns the CPU, its cores and its bfloat16_unit(), without TensorFlow."""
    name = _of_first_cpu("model name") or platform.processor() or platform.machine()
    unit = f", {bfloat16_unit()}" if bfloat16_unit() else ""
    return f"{name} ({usable_cores()} cores{unit})"


def fastest_precision() -> str:
    """Returns 'bfloat16' if it is faster than 'float32' on this machine, else 'float32'.

    It is faster on GPUs of compute capability 8 and up, 3 to 5 times on CPUs with AMX and up to 2
    times on AMD's with AVX512_BF16, and slower on others, such as those of hides_amx().
    """
    if gpus := _gpus():
        multiplies = all(gpu.get("compute_capability", (0, 0))[0] >= 8 for gpu in gpus)
    else:
        multiplies = bfloat16_unit() is not None
    return "bfloat16" if multiplies else "float32"


def _gpus() -> list[dict[str, Any]]:
    """Returns the details of each GPU that TensorFlow has."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    return [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
