"""What benchmarks make up is still what the steps read; what they measure is run by hand (benchmarks/README.md)."""

import ast
import importlib
import runpy
from pathlib import Path

import pytest

from pipeline.learning.arrays import read_arrays
from pipeline.reporting import ranking
from pipeline.running.tracking import open_store

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize("file", sorted(BENCHMARKS.glob("*.py")), ids=lambda file: file.stem)
def test_what_a_benchmark_imports_of_the_project_is_there(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "pipeline":
            module = importlib.import_module(node.module)
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")


@pytest.mark.parametrize(("name", "shape"), [("sweep_grid.py", [1, 14]), ("memory.py", [14])])
def test_arrays_that_are_made_up_are_read(tmp_path, name, shape):
    runpy.run_path(str(BENCHMARKS / name))["write_arrays"](tmp_path / "rgb", *shape)
    assert len(read_arrays(tmp_path / "rgb", "sample").split("train").images) == 14


def test_runs_that_are_made_up_are_ranked(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    runpy.run_path(str(BENCHMARKS / "compare_1000_runs.py"))["make_runs"](str(tmp_path), 3, 2)
    store = open_store(tmp_path, "synthetic", create=False)
    table, left_out = ranking.ranked([ranking.row(run) for run in store.finished({})])
    assert (len(table), left_out) == (3, 0)
