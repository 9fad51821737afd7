"""What a step does before what it imports: help and mistakes at once, Ctrl-C without a traceback."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NO_MISTAKE = ("model=compact", "optimizer=sgd")  # of a command of train


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


@pytest.mark.parametrize(
    "mistake, line",
    [
        ("modle=compact", "You must specify 'optimizer'"),
        ("optimizer=sgd epochs=-3", "epochs=-3: expected a whole number, at least 1"),
        ("optimizer=sgd +experiment=none", "In 'train': Could not find 'experiment/none'"),
        ("optimizer=sgd eposch=3", "eposch: there is no such value; did you mean epochs?"),
    ],
)
def test_a_mistake_in_a_command_waits_for_no_library(tmp_path, mistake, line):
    refused = ended(tmp_path, "raise SystemExit('imported')", "-m", "pipeline.train", "model=compact", *mistake.split())
    assert (refused.returncode, refused.stdout) == (2, "") and refused.stderr.startswith(f"pipeline.train: {line}")
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize("command", [(), ("-m", "seed=1,2"), ("--cfg", "job")])
def test_a_command_without_a_mistake_goes_on(tmp_path, command):
    imported = ended(tmp_path, "raise SystemExit('imported')", "-m", "pipeline.train", *NO_MISTAKE, *command)
    assert (imported.returncode, imported.stdout, imported.stderr) == (1, "", "imported\n")


def test_ctrl_c_while_libraries_are_imported_prints_no_traceback(tmp_path):
    slow = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(20)"
    stopped = ended(tmp_path, slow, "-m", "pipeline.train", *NO_MISTAKE)
    assert stopped.returncode == -signal.SIGINT and not stopped.stderr


def test_ctrl_c_that_is_ignored_stays_ignored(tmp_path):
    slow = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nraise SystemExit(7)"
    ignored = "import os, signal, sys\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    ignored += f"os.execv(sys.executable, [sys.executable, '-m', 'pipeline.train', *{NO_MISTAKE}])"
    assert ended(tmp_path, slow, "-c", ignored).returncode == 7


def test_a_step_that_is_none_is_said_by_python(tmp_path):
    none = ended(tmp_path, "", "-m", "pipeline.trian", "--help")
    assert none.returncode == 1 and "No module named pipeline.trian" in none.stderr
