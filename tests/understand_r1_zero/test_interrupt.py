"""Signals become a request to stop."""

import os
import signal

import pytest

from understand_r1_zero.interrupt import stop_on_signals


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_to_stop_and_the_handlers_are_restored(signum, capsys):
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with stop_on_signals() as should_stop:
        assert not should_stop.is_set()
        os.kill(os.getpid(), signum)
        assert should_stop.is_set()
    assert "once more" in capsys.readouterr().err
    assert {number: signal.getsignal(number) for number in before} == before


def test_a_second_ctrl_c_ends_the_run_at_once():
    with pytest.raises(KeyboardInterrupt), stop_on_signals():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
