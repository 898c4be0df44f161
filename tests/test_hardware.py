"""What this machine is said to be."""

from pathlib import Path

import pytest

from fast_style import hardware


def test_a_containers_limit_counts_and_files_read_long_ago_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "CGROUP", tmp_path)
    without_limit = hardware.free_memory()
    (tmp_path / "memory.current").write_text("900000\n")
    (tmp_path / "memory.stat").write_text("anon 100000\ninactive_file 600000\n")
    (tmp_path / "memory.max").write_text("1000000\n")
    assert hardware.free_memory() == 700_000
    (tmp_path / "memory.max").write_text("max\n")
    assert hardware.free_memory() == pytest.approx(without_limit, rel=0.2)
