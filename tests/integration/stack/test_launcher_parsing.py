"""The pieces by which the launcher understands what the product says."""

from __future__ import annotations

from config.stack.api import parse_events
from config.stack.readiness import degraded_names


def test_server_sent_events_are_read_as_the_standard_says() -> None:
    """Comments keep a line alive and are no event; an id lasts until the next one."""
    stream = (
        b": hello\n\nid: 1\nevent: step.status\ndata: {}\n\nevent: done\ndata: a\ndata: b\n\ndata: cut off\n"
    )
    assert list(parse_events(stream.splitlines(keepends=True))) == [("1", "step.status"), ("1", "done")]


def test_what_is_degraded_is_understood_as_names_or_objects() -> None:
    """Ready means an empty list, whatever shape its members have."""
    assert degraded_names({"degraded": ["broker"]}) == ["broker"]
    assert degraded_names({"degraded": {"workers": "none"}}) == ["workers"]
    assert degraded_names({"degraded": [{"component": "dispatcher", "detail": "no heartbeat"}]}) == [
        "dispatcher"
    ]
    assert degraded_names({"degraded": []}) == degraded_names({}) == []
