"""A run's graph with its states: nodes in layers, and a picture of them.

Layers are by longest path from the start, as in K. Sugiyama et al., "Methods for Visual Understanding of Hierarchical
System Structures" (1981); within a layer nodes stand by the mean place of what they need.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from agentplatform.workflows.decisions import NodeState, WorkflowState
from agentplatform.workflows.definition import Definition
from agentplatform.workflows.statuses import StepStatus

_BY_WEIGHT = (
    StepStatus.DEAD,
    StepStatus.RUNNING,
    StepStatus.DISPATCHED,
    StepStatus.WAITING,
    StepStatus.READY,
    StepStatus.BLOCKED,
    StepStatus.CANCELLED,
    StepStatus.SKIPPED,
    StepStatus.SUCCEEDED,
    StepStatus.OMITTED,
)
"""Of a node's steps, the status that comes first here is shown as the node's."""

COLOURS: Mapping[str, str] = {
    "blocked": "#9ca3af",
    "ready": "#60a5fa",
    "dispatched": "#60a5fa",
    "running": "#2563eb",
    "waiting": "#f59e0b",
    "succeeded": "#16a34a",
    "skipped": "#d97706",
    "omitted": "#d1d5db",
    "dead": "#dc2626",
    "cancelled": "#6b7280",
}
NODE_WIDTH, NODE_HEIGHT, GAP_X, GAP_Y, MARGIN = 190, 50, 56, 22, 12
MAX_KEY_CHARACTERS = 24


@dataclass(frozen=True, slots=True)
class GraphNode:
    """One node: its place (layer from the left, row from the top), and how many steps it has in which status."""

    key: str
    agent: str
    kind: str
    status: StepStatus
    counts: Mapping[StepStatus, int]
    total: int | None
    layer: int
    row: float


@dataclass(frozen=True, slots=True)
class Edge:
    """`target` waits for `source`; it reads its output, or with `has_condition` only where that holds."""

    source: str
    target: str
    has_condition: bool


@dataclass(frozen=True, slots=True)
class Graph:
    """The nodes of a run and what they wait for."""

    nodes: tuple[GraphNode, ...]
    edges: tuple[Edge, ...]


def graph_of(definition: Definition, state: WorkflowState) -> Graph:
    """The graph of a run that goes by `definition`, with what agents have added, as `state` has it."""
    layers = _layers(definition)
    rows = _rows(definition, layers)
    nodes = tuple(
        GraphNode(
            key=spec.key,
            agent=spec.agent,
            kind="fan_out" if spec.for_each is not None else "loop" if spec.until is not None else "step",
            status=_status_of(state.nodes[spec.key], has_ended=state.status.is_terminal),
            counts=state.nodes[spec.key].counts,
            total=state.nodes[spec.key].total,
            layer=layers[spec.key],
            row=rows[spec.key],
        )
        for spec in definition.steps
    )
    edges = tuple(
        Edge(source, spec.key, spec.when is not None)
        for spec in definition.steps
        for source in sorted(spec.sources)
    )
    return Graph(nodes, edges)


def _status_of(node: NodeState, *, has_ended: bool) -> StepStatus:
    """The status of its steps that matters most; a fan-out over nothing has succeeded, one without a list is blocked."""
    if node.total is None and has_ended:
        return StepStatus.CANCELLED
    for status in _BY_WEIGHT:
        if node.counts.get(status, 0):
            return status
    return StepStatus.BLOCKED if node.total is None else StepStatus.SUCCEEDED


def _layers(definition: Definition) -> dict[str, int]:
    layers: dict[str, int] = {}
    while len(layers) < len(definition.steps):
        for spec in definition.steps:
            if spec.key not in layers and spec.sources <= layers.keys():
                layers[spec.key] = 1 + max((layers[source] for source in spec.sources), default=-1)
    return layers


def _rows(definition: Definition, layers: Mapping[str, int]) -> dict[str, float]:
    """Where nodes stand in their layer: in the order of what they need, the layer centred among all."""
    rows: dict[str, float] = {}
    by_layer: dict[int, list[str]] = {}
    for key, layer in layers.items():
        by_layer.setdefault(layer, []).append(key)
    tallest = max(map(len, by_layer.values()))
    for layer in sorted(by_layer):
        sources = {key: definition.step(key).sources for key in by_layer[layer]}
        means = {
            key: sum(rows[name] for name in needed) / len(needed) for key, needed in sources.items() if needed
        }
        ordered = sorted(by_layer[layer], key=lambda key: means.get(key, 0.0))
        top = (tallest - len(ordered)) / 2
        rows.update({key: top + place for place, key in enumerate(ordered)})
    return rows


def svg_of(graph: Graph) -> str:
    """The graph as a picture: an SVG document, without scripts or references."""
    width = MARGIN * 2 + (max(node.layer for node in graph.nodes) + 1) * (NODE_WIDTH + GAP_X) - GAP_X
    height = MARGIN * 2 + (max(node.row for node in graph.nodes) + 1) * (NODE_HEIGHT + GAP_Y) - GAP_Y
    places = {node.key: _place(node) for node in graph.nodes}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img" aria-label="Graph of the workflow" font-family="sans-serif">',
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#9ca3af"/></marker></defs>',
        *(_line(edge, places) for edge in graph.edges),
        *(_box(node, *places[node.key]) for node in graph.nodes),
        "</svg>",
    ]
    return "".join(parts)


def _place(node: GraphNode) -> tuple[float, float]:
    return MARGIN + node.layer * (NODE_WIDTH + GAP_X), MARGIN + node.row * (NODE_HEIGHT + GAP_Y)


def _line(edge: Edge, places: Mapping[str, tuple[float, float]]) -> str:
    x1, y1 = places[edge.source][0] + NODE_WIDTH, places[edge.source][1] + NODE_HEIGHT / 2
    x2, y2 = places[edge.target][0], places[edge.target][1] + NODE_HEIGHT / 2
    bend = GAP_X / 2
    dashed = ' stroke-dasharray="5 4"' if edge.has_condition else ""
    return (
        f'<path d="M{x1:g} {y1:g}C{x1 + bend:g} {y1:g} {x2 - bend:g} {y2:g} {x2:g} {y2:g}" fill="none" '
        f'stroke="#9ca3af" stroke-width="1.5"{dashed} marker-end="url(#arrow)"/>'
    )


def _box(node: GraphNode, x: float, y: float) -> str:
    colour = COLOURS[node.status]
    key = node.key if len(node.key) <= MAX_KEY_CHARACTERS else f"{node.key[: MAX_KEY_CHARACTERS - 1]}…"
    ended = sum(count for status, count in node.counts.items() if status.is_terminal)
    told: str = node.status.value
    if node.kind != "step":
        total = "?" if node.total is None else node.total
        told = f"{told} · {ended} of {total}" if node.kind == "fan_out" else f"{told} · round {total}"
    about = ", ".join(f"{count} {status.value}" for status, count in sorted(node.counts.items())) or told
    return (
        f"<g><title>{escape(f'{node.key} ({node.agent}): {about}')}</title>"
        f'<rect x="{x:g}" y="{y:g}" width="{NODE_WIDTH}" height="{NODE_HEIGHT}" rx="8" fill="#ffffff" '
        f'stroke="{colour}" stroke-width="2"/>'
        f'<rect x="{x:g}" y="{y + 6:g}" width="4" height="{NODE_HEIGHT - 12}" fill="{colour}"/>'
        f'<text x="{x + 14:g}" y="{y + 21:g}" font-size="13" fill="#111827" data-key={quoteattr(node.key)}>'
        f"{escape(key)}</text>"
        f'<text x="{x + 14:g}" y="{y + 39:g}" font-size="11" fill="{colour}">{escape(told)}</text></g>'
    )
