"""The cores that may be used, under a container's limits."""

import os

import pytest

from pipeline.running import cores


@pytest.mark.parametrize(
    ("written", "expected"),
    (("max 100000\n", 8), ("150000 100000\n", 2), ("20000 100000\n", 1), ("6400000 100000\n", 8), (None, 8)),
)
def test_the_quota_of_a_container_counts(monkeypatch, tmp_path, written, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(cores, "QUOTA", tmp_path / "cpu.max")
    if written:
        (tmp_path / "cpu.max").write_text(written)
    assert cores.cores() == expected
