"""A step as a shell would run it, in this process."""

import re
import sys

import absl.logging
from hydra.core.global_hydra import GlobalHydra

from pipeline.running import cli, sweep

# Lines of TensorFlow's native code about a missing driver or this CPU, which no setting of it turns off.
NATIVE = re.compile(r"WARNING: All log messages before absl|[IE]0000 .* (cudart_stub|cuda_platform|port)\.cc")


def shell(monkeypatch, capfd, step: str, *arguments: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of `python -m pipeline.<step>`, run in this process to save the imports."""
    GlobalHydra.instance().clear()
    # Hydra closes all log handlers, and absl's one then closes its stream unless it is the real stderr: here, pytest's.
    absl.logging.get_absl_handler().python_handler.stream = sys.__stderr__
    monkeypatch.setenv(sweep.LOG_VARIABLE, "")  # set, so that it is restored afterwards, and then taken away
    monkeypatch.delenv(sweep.LOG_VARIABLE)
    monkeypatch.setattr(sys, "argv", [f"pipeline/{step}.py", *arguments])
    capfd.readouterr()
    try:
        cli.run(step)
        code = 0
    except SystemExit as end:
        code = end.code
    out, err = capfd.readouterr()
    return code, out, "".join(line for line in err.splitlines(keepends=True) if not NATIVE.match(line))
