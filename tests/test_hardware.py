"""What this machine is said to be."""

from pathlib import Path

import pytest
import tensorflow as tf

from fast_style import hardware


def test_a_containers_limit_counts_and_files_read_long_ago_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "CGROUP", tmp_path)
    (tmp_path / "memory.current").write_text("900000\n")
    (tmp_path / "memory.stat").write_text("anon 100000\ninactive_file 600000\n")
    (tmp_path / "memory.max").write_text("1000000\n")
    assert hardware.free_memory() == 700_000
    for no_limit in ("max", str(2**60)):
        (tmp_path / "memory.max").write_text(f"{no_limit}\n")
        assert 1_000_000 < hardware.free_memory() < 2**60


@pytest.mark.parametrize(
    ("vendor", "flags", "unit"),
    [
        ("GenuineIntel", "fpu avx512f avx512_bf16 avx512_fp16 amx_bf16 amx_tile", "AMX"),
        ("GenuineIntel", "fpu avx512f avx512_bf16 avx512_fp16", None),  # hides AMX
        ("GenuineIntel", "fpu avx512f avx512_bf16", "AVX512_BF16"),
        ("AuthenticAMD", "fpu avx512f avx512_bf16 avx512_fp16", "AVX512_BF16"),
        ("AuthenticAMD", "fpu avx2", None),
        ("", "", None),
    ],
)
def test_what_multiplies_bfloat16_fast_follows_from_the_flags_of_the_cpu(
    vendor: str, flags: str, unit: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    names = f"vendor_id\t: {vendor}\nmodel name\t: A CPU\n"
    cpuinfo.write_text(f"processor\t: 0\n{names}flags\t\t: {flags}\n\n")
    monkeypatch.setattr(hardware, "CPUINFO", cpuinfo)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    assert hardware.bfloat16_unit() == unit
    assert hardware.fastest_precision() == ("bfloat16" if unit else "float32")
    assert hardware.describe_cpu().startswith("A CPU (")
    assert unit is None or hardware.describe_cpu().endswith(f", {unit})")


def test_a_system_that_does_not_describe_its_cpu_computes_in_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "CPUINFO", tmp_path / "absent")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    assert hardware.bfloat16_unit() is None
    assert hardware.fastest_precision() == "float32"


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [
        ([(8, 0)], "bfloat16"),
        ([(9, 0), (7, 5)], "float32"),
        ([(7, 0)], "float32"),
        ([()], "float32"),
    ],
)
def test_gpus_take_bfloat16_where_all_of_them_multiply_it(
    capabilities: list[tuple[int, ...]], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: capabilities)
    monkeypatch.setattr(
        tf.config.experimental,
        "get_device_details",
        lambda gpu: {"compute_capability": gpu} if gpu else {},
    )
    assert hardware.fastest_precision() == precision


@pytest.mark.parametrize(
    ("visible", "found"), [(None, True), ("0", True), ("0,1", True), ("", False), ("-1", False)]
)
def test_a_gpu_is_there_with_its_driver_unless_it_is_hidden(
    visible: str | None, found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(hardware, "NVIDIA_DRIVER", tmp_path / "version")
    assert not hardware.nvidia_gpu()
    (tmp_path / "version").write_text("NVRM version: 570.1")
    assert hardware.nvidia_gpu() == found
