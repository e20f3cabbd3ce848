"""`make bench-retrieval`: how often the passage that answers a question is among the first found.

The knowledge base is the project's own documentation, the questions are those of retrieval_questions.json, each with
the passage that holds its answer. Compared are full text alone, vectors alone, and both fused.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.embedder import running_embedder

QUESTIONS = Path(__file__).with_name("retrieval_questions.json")
RESULTS = Path("benchmarks/retrieval.json")
CHECKOUT = Path(__file__).resolve().parents[2]
LIMIT = 10
WAYS = ("full text", "vectors", "both")


def known_questions() -> list[dict[str, Any]]:
    """The questions with their known passages."""
    questions: list[dict[str, Any]] = json.loads(QUESTIONS.read_text())
    return questions


def known_passages(question: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The (document, excerpt) of every passage that answers the question."""
    return [(place["document"], place["answer"]) for place in (question, *question.get("also", ()))]


@dataclass(frozen=True, slots=True)
class Found:
    """Of one question: its kind, the way of searching, and the place of the first right passage (None: not found)."""

    kind: str
    way: str
    place: int | None
    seconds: float


def main() -> None:
    """Embeds the documentation, asks every question in every way, prints and writes what came of it."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    import django
    from django.core.management import call_command

    django.setup()
    from django.conf import settings

    call_command("migrate", verbosity=0)
    with running_embedder(Path(settings.EMBEDDER_SOCKET)):
        found = _measure()
    _show(found)


def _measure() -> list[Found]:
    from apps.embedder import embedder
    from apps.knowledge.embedding import embed_pending
    from apps.knowledge.models import Document
    from apps.knowledge.selectors import knowledge_state
    from apps.tenants.services import tenant_create

    questions = known_questions()
    tenant = tenant_create(name=f"bench-{uuid.uuid4()}", tier="standard")
    _upload(tenant, sorted({document for question in questions for document, _ in known_passages(question)}))
    started = time.monotonic()
    while embed_pending():
        pass
    state = knowledge_state(tenant)
    assert state.embedded_passages == state.passages > 0
    each = (time.monotonic() - started) / state.passages
    Console().print(
        f"{state.documents} documents, {state.passages} passages, {each * 1000:.0f} ms to embed one"
    )
    titles = {
        str(pk): name for pk, name in Document.objects.filter(tenant=tenant).values_list("pk", "external_id")
    }
    found = []
    for question in questions:
        vector = embedder().embed_question(question["question"])
        found += [_ask(tenant, question, way, vector, titles) for way in WAYS]
    tenant.delete()
    return found


def _upload(tenant: Any, documents: Sequence[str]) -> None:
    from agentplatform.retrieval.chunking import title_of
    from apps.knowledge.services import document_create

    for name in documents:
        content = (CHECKOUT / name).read_text()
        document_create(tenant=tenant, external_id=name, title=title_of(content) or name, content=content)


def _ask(
    tenant: Any, question: Mapping[str, Any], way: str, vector: list[float], names: Mapping[str, str]
) -> Found:
    from apps.knowledge.selectors import search_passages

    started = time.monotonic()
    passages = search_passages(
        tenant_id=tenant.pk,
        question=question["question"],
        limit=LIMIT,
        vector=None if way == "full text" else vector,
        by_text=way != "vectors",
    )
    seconds = time.monotonic() - started
    right = [(document, squeezed(answer)) for document, answer in known_passages(question)]
    for place, passage in enumerate(passages, start=1):
        name = names[str(passage.document_id)]
        text = squeezed(f"{passage.heading} {passage.text}")
        if any(name == document and answer in text for document, answer in right):
            return Found(question["kind"], way, place, seconds)
    return Found(question["kind"], way, None, seconds)


def squeezed(text: str) -> str:
    """The text with single spaces."""
    return " ".join(text.split())


def _show(found: Sequence[Found]) -> None:
    kinds = sorted({one.kind for one in found})
    table = Table(title=f"{len(found) // len(WAYS)} questions on the project's documentation, recall@5")
    for column in ("", *kinds, "all", "recall@1", "recall@10", "MRR@10", "ms"):
        table.add_column(column, justify="right" if column else "left")
    rows = []
    for way in WAYS:
        mine = [one for one in found if one.way == way]
        row = {
            **{kind: _recall([one for one in mine if one.kind == kind], 5) for kind in kinds},
            "all": _recall(mine, 5),
            "recall@1": _recall(mine, 1),
            "recall@10": _recall(mine, 10),
            "MRR@10": sum(1 / one.place for one in mine if one.place) / len(mine),
            "ms": 1000 * sum(one.seconds for one in mine) / len(mine),
        }
        table.add_row(
            way, *(f"{value:.1f}" if name == "ms" else f"{value:.3f}" for name, value in row.items())
        )
        rows.append({"way": way, **row})
    Console(width=120).print(table)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(rows, indent=2) + "\n")


def _recall(found: Sequence[Found], first: int) -> float:
    return sum(one.place is not None and one.place <= first for one in found) / len(found)


if __name__ == "__main__":
    main()
