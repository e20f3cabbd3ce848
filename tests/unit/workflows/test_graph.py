"""The graph of a run: where its nodes stand, what is shown of them, and that the picture is one."""

from __future__ import annotations

from xml.etree import ElementTree

from agentplatform.workflows.decisions import CancelRequested
from agentplatform.workflows.graph import graph_of, svg_of
from agentplatform.workflows.statuses import StepStatus
from tests.unit.workflows.runs import DIAMOND, Run, define, spec


def test_nodes_stand_to_the_right_of_what_they_need() -> None:
    """By the longest path; those of one layer below each other."""
    graph = graph_of(DIAMOND, Run(DIAMOND).state)
    assert {node.key: node.layer for node in graph.nodes} == {"a": 0, "b": 1, "c": 1, "d": 2}
    rows = {node.key: node.row for node in graph.nodes}
    assert rows["b"] != rows["c"]
    assert rows["a"] == rows["d"] == (rows["b"] + rows["c"]) / 2
    assert [(edge.source, edge.target) for edge in graph.edges] == [
        ("a", "b"),
        ("a", "c"),
        ("b", "d"),
        ("c", "d"),
    ]


def test_of_the_steps_of_a_node_that_which_matters_most_is_shown() -> None:
    """One that has given up before all others; a fan-out whose list is not known is blocked."""
    definition = define(spec("plan"), spec("each", for_each="plan.items", on_failure="skip"))
    run = Run(definition)
    assert graph_of(definition, run.state).nodes[1].status is StepStatus.BLOCKED
    cancelled = Run(definition)
    cancelled.decide(CancelRequested())
    assert graph_of(definition, cancelled.state).nodes[1].status is StepStatus.CANCELLED
    run.succeed("plan", {"items": [1, 2, 3]})
    run.succeed("each")
    run.claim("each")
    node = graph_of(definition, run.state).nodes[1]
    assert (node.status, node.kind, node.total) == (StepStatus.RUNNING, "fan_out", 3)


def test_the_picture_is_well_formed_and_holds_no_mark_up_of_others() -> None:
    """Every node by its key; a condition is a dashed line."""
    definition = define(spec("a"), spec("b" * 40, "a", when="a.x < `1`"))
    picture = svg_of(graph_of(definition, Run(definition).state))
    root = ElementTree.fromstring(picture)
    assert [text.get("data-key") for text in root.iter() if text.get("data-key")] == ["a", "b" * 40]
    assert picture.count("stroke-dasharray") == 1
    assert "<script" not in picture
