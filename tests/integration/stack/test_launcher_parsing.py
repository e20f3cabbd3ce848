"""The pieces by which the launcher understands what the product says."""

from __future__ import annotations

from config.stack.api import parse_events


def test_server_sent_events_are_read_as_the_standard_says() -> None:
    """Comments keep a line alive and are no event; an id lasts until the next one."""
    stream = (
        b": hello\n\nid: 1\nevent: step.status\ndata: {}\n\nevent: done\ndata: a\ndata: b\n\ndata: cut off\n"
    )
    assert list(parse_events(stream.splitlines(keepends=True))) == [("1", "step.status"), ("1", "done")]
