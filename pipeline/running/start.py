"""What a step does before Python imports it, which takes seconds where TensorFlow is among what it imports."""

import signal
import sys
from pathlib import Path

STEPS = Path(__file__).parents[1]
HELP = ("--help", "-h")


def begin(module: str) -> None:
    """Answer what needs no library of the step `module`, its help page and a mistake in the command, and exit.

    Until `restore_ctrl_c` is called, Ctrl-C simply ends the process: no work has begun, and Python would print a
    traceback.
    """
    step = module.removeprefix("pipeline.")
    if not (STEPS / f"{step}.py").is_file():
        return  # not a step: Python says so
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is ignored, as after nohup
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from pipeline.running import cli  # which imports this module

    if asked_for_help():
        cli.run(step)
        sys.exit()
    cli.refuse_mistakes(step)


def asked_for_help() -> bool:
    return any(argument in HELP for argument in sys.argv[1:])


def restore_ctrl_c() -> None:
    """Make Ctrl-C a KeyboardInterrupt again, where `begin` had made it end the process."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
