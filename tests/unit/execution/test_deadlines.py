"""Deadlines are inherited: each hop takes the smaller."""

from __future__ import annotations

import threading

from agentplatform.execution.deadlines import Deadline
from agentplatform.llm.model import CallContext


def test_time_runs_out() -> None:
    """Seconds left fall, and a deadline passes."""
    deadline = Deadline.after(60)
    left = deadline.seconds_left
    assert 59 < deadline.seconds_left <= left <= 60
    assert not deadline.has_passed
    assert Deadline.after(0).has_passed
    assert Deadline.after(-1).seconds_left < -0.9


def test_a_hop_inherits_the_sooner_deadline() -> None:
    """Asking for more gives no more."""
    deadline = Deadline.after(10)
    assert deadline.sooner(60) == deadline
    assert deadline.sooner(1).seconds_left <= 1


def test_an_interrupt_breaks_off_what_is_registered_now_or_later() -> None:
    """Whichever comes first, and not what has ended."""
    call = CallContext(Deadline.after(60))
    closed: list[str] = []
    call.on_interrupt(lambda: closed.append("ended before"))
    call.on_interrupt(None)
    call.on_interrupt(lambda: closed.append("first"))
    thread = threading.Thread(target=call.interrupt)
    thread.start()
    thread.join()
    assert call.is_interrupted
    assert call.must_stop
    assert closed == ["first"]
    call.on_interrupt(lambda: closed.append("second"))
    assert closed == ["first", "second"]


def test_a_call_must_stop_at_its_deadline() -> None:
    """Uninterrupted."""
    call = CallContext(Deadline.after(-1))
    assert (call.is_interrupted, call.must_stop) == (False, True)
