"""SIGTERM and Ctrl-C end the work between two pieces of it."""

import os
import signal

import pytest

from pipeline.running.signals import stoppable, undivided


def send(number: int) -> None:
    os.kill(os.getpid(), number)


def test_sigterm_ends_what_is_stoppable_with_status_143_and_only_that():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended, stoppable():
        send(signal.SIGTERM)
        raise AssertionError("went on")
    assert ended.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(("number", "ends"), [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)])
def test_a_signal_waits_for_the_end_of_what_is_undivided(number, ends):
    done = []
    with stoppable():
        with pytest.raises(ends), undivided():
            send(number)
            done.append("the rest")
        with undivided():
            done.append("nothing is left of it")
    assert done == ["the rest", "nothing is left of it"]


def test_a_signal_during_what_fails_ends_it_too():
    with stoppable(), pytest.raises(SystemExit), undivided():
        send(signal.SIGTERM)
        raise ValueError("failed after the signal")


def test_a_second_ctrl_c_does_not_wait_but_a_second_sigterm_does():
    with stoppable(), pytest.raises(KeyboardInterrupt), undivided():
        send(signal.SIGINT)
        send(signal.SIGINT)
        raise AssertionError("went on")
    done = []
    with stoppable(), pytest.raises(SystemExit), undivided():
        send(signal.SIGTERM)
        send(signal.SIGTERM)
        done.append("the rest")
    assert done
