"""What a step does before what it imports: help at once, Ctrl-C without a traceback."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def ended(place: Path, slow: str, *command: str) -> subprocess.CompletedProcess:
    """`python -m` `command` where the first library that `train` and `evaluate` import is the code `slow`."""
    for name in ("keras", "pandas"):
        (place / f"{name}.py").write_text(slow)
    environment = {"PYTHONPATH": f"{place}:{ROOT}"}
    return subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("command", [("-m", "pipeline.train", "--help"), ("-mpipeline.evaluate", "run=x", "-h")])
def test_help_waits_for_no_library(tmp_path, command):
    page = ended(tmp_path, "raise SystemExit('imported')", *command)
    assert page.returncode == 0 and "Usage: python -m pipeline." in page.stdout and not page.stderr


def test_ctrl_c_while_libraries_are_imported_prints_no_traceback(tmp_path):
    slow = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(20)"
    stopped = ended(tmp_path, slow, "-m", "pipeline.train")
    assert stopped.returncode == -signal.SIGINT and not stopped.stderr


def test_ctrl_c_that_is_ignored_stays_ignored(tmp_path):
    slow = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nraise SystemExit(7)"
    ignored = "import os, signal, sys\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    ignored += "os.execv(sys.executable, [sys.executable, '-m', 'pipeline.train'])"
    assert ended(tmp_path, slow, "-c", ignored).returncode == 7


def test_a_step_that_is_none_is_said_by_python(tmp_path):
    none = ended(tmp_path, "", "-m", "pipeline.trian", "--help")
    assert none.returncode == 1 and "No module named pipeline.trian" in none.stderr
