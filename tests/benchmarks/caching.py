"""What kept answers cost to find: an exact one, a whole result over REST, and one by meaning among a hundred thousand."""

from __future__ import annotations

import random
import statistics
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx2
import numpy as np
import numpy.typing as npt
import orjson

from agentplatform.embedding.vectors import DIMENSIONS, MODEL_NAME
from config.stack.stack import Stack
from tests.benchmarks.results import Result

ENTRIES = 100_000
SHARES = (1.0, 0.1, 0.01, 0.001)
"""Scopes of these shares of ENTRIES, in one table."""
LOOKUPS = 200
NEAREST = 5
QUESTIONS = (
    "How do I {} the {} of a {}?",
    "What happens to the {1} when a {2} is {0}ed?",
    "Where can I {} a {} for my {}?",
    "Why does the {1} of the {2} not {0}?",
    "Can the {2} {0} its own {1}?",
)
WORDS = (
    ("rotate", "renew", "export", "limit", "share", "move", "archive", "audit", "test", "charge"),
    ("key", "invoice", "budget", "password", "lease", "report", "address", "queue", "token", "contract"),
    ("tenant", "customer", "server", "team", "project", "device", "branch", "shop", "driver", "patient"),
)
Matrix = npt.NDArray[np.float32]


def measure_over_rest(stack: Stack, key: str) -> list[Result]:
    """A submission whose whole result is kept, with `Prefer: wait`."""
    headers = {"Authorization": f"Bearer {key}", "Prefer": "wait=30"}
    body = {
        "type": "one_kept_question",
        "input": {"question": "How long is a lease?"},
        "priority": "interactive",
    }
    seconds = []
    with httpx2.Client(base_url=stack.base_url, headers=headers, timeout=40) as client:
        for number in range(320):
            started = time.perf_counter()
            response = client.post("/api/v1/workflows/", json=body)
            seconds.append(time.perf_counter() - started)
            assert (response.json()["cache"] is None) == (number == 0), response.text
    percentiles = statistics.quantiles([1000 * one for one in seconds[20:]], n=100)
    return [
        Result("a kept result with Prefer: wait, p50", percentiles[49], "ms", goal="≤ 30"),
        Result("a kept result with Prefer: wait, p99", percentiles[98], "ms"),
    ]


def measure(stack: Stack) -> list[Result]:
    """Exact hits through the layer, then answers by meaning."""
    return [*_exact_hits(), *_by_meaning()]


def _exact_hits() -> list[Result]:
    """The whole layer: key, Redis, what is told and what will be settled; the call that it takes the place of is none."""
    from agentplatform.llm.caching.cached import Cached
    from agentplatform.llm.caching.policy import CachePolicy, Caching
    from agentplatform.llm.caching.verifying import PairVerifier
    from agentplatform.llm.journal import StepIdentity, StepJournal
    from agentplatform.llm.messages import ModelRequest
    from agentplatform.llm.planning import CallPlace
    from agentplatform.llm.tiers import Tier
    from apps.gateway.answers import shared_answers
    from apps.workflows.store import DatabaseCallStore
    from tests.integration.caching.kept import answer_of
    from tests.unit.llm.conftest import context

    place = CallPlace(uuid.UUID(int=1), 0, "")
    step = StepIdentity(uuid.UUID(int=1), uuid.uuid4(), uuid.uuid4(), 1, "t", "a")
    policy = CachePolicy(Caching.EXACT, 600, "1")
    journal = StepJournal(step, DatabaseCallStore())
    store = shared_answers()
    cached = Cached(None, store, journal, PairVerifier.load)  # type: ignore[arg-type]  # nothing is bought
    text = "A passage of the knowledge base. " * 200

    def asked(number: int) -> ModelRequest:
        message = {"role": "user", "content": f"{number} {text}"}
        return ModelRequest(Tier.FAST, (message,), 300, use_case="t.s", cache=policy)

    first = cached._asked(asked(0), context(), place)
    store.put(first.key, first.token, answer_of("An answer of some words. " * 20), 600)
    seconds = list(_timed(lambda: cached.complete(asked(0), context(), place), 2_000))
    percentiles = statistics.quantiles([1000 * one for one in seconds[200:]], n=100)
    return [
        Result("an exact hit, prompt of 6.6 kB, p50", percentiles[49], "ms", goal="≤ 1"),
        Result("an exact hit, prompt of 6.6 kB, p95", percentiles[94], "ms"),
    ]


def _by_meaning() -> list[Result]:
    from apps.gateway import cache_selectors
    from apps.gateway.answers import shared_answers

    vectors = _vectors()
    scopes = {share: f"{number:064x}" for number, share in enumerate(SHARES)}
    tenant_id, ids = _fill(vectors, scopes)
    store = shared_answers()
    results = []
    chance = random.Random(5)
    for share, scope in scopes.items():
        key = _key(tenant_id, scope)
        cache_selectors._size_of.cache_clear()
        looked_up = []
        seconds = []
        for number in range(LOOKUPS):
            question = _question(chance) + f" ({share:g} {number})"
            started = time.perf_counter()
            vector = store.vector_of(question, tenant_id)
            assert vector is not None
            near = store.near(key, vector)
            seconds.append(time.perf_counter() - started)
            looked_up.append((np.asarray(vector, np.float32), {one.answer.entry_id for one in near}))
        percentiles = statistics.quantiles([1000 * one for one in seconds], n=100)
        about = f"{len(ids[share]):,} of {sum(map(len, ids.values())):,} entries"
        results += [
            Result(f"by meaning with embedding, {about}, p50", percentiles[49], "ms"),
            Result(f"by meaning with embedding, {about}, p95", percentiles[94], "ms", goal="≤ 15"),
            Result(
                f"recall of the nearest {NEAREST}, {about}",
                100 * _recall(looked_up, vectors[share], ids[share]),
                "%",
                goal="≥ 98",
            ),
        ]
    return results


def _recall(
    looked_up: Sequence[tuple[npt.NDArray[np.float32], set[uuid.UUID]]], own: Matrix, ids: Sequence[uuid.UUID]
) -> float:
    """How many of the nearest, as brute force finds them, were found; those below the floor of candidates count not."""
    from apps.gateway import cache_selectors

    expected = found = 0
    for vector, near in looked_up:
        similarities = own @ vector
        nearest = np.argsort(similarities)[-NEAREST:]
        # What is stored has halves of precision: at the very floor it may fall on either side.
        wanted = {
            ids[place]
            for place in nearest
            if similarities[place] > cache_selectors.CANDIDATE_SIMILARITY + 0.001
        }
        expected += len(wanted)
        found += len(wanted & near)
    return found / expected


def _timed(call: Callable[[], Any], times: int) -> Iterator[float]:
    for _ in range(times):
        started = time.perf_counter()
        call()
        yield time.perf_counter() - started


def _question(chance: random.Random) -> str:
    return chance.choice(QUESTIONS).format(*(chance.choice(words) for words in WORDS))


def _vectors() -> dict[float, Matrix]:
    """Vectors as near each other as those of questions are: of made-up ones, mixed in pairs, with some noise."""
    from apps.embedder import embedder

    chance = random.Random(3)
    questions = sorted({_question(chance) for _ in range(1_500)})
    embedded = [
        vector
        for start in range(0, len(questions), 250)
        for vector in embedder().embed_passages(questions[start : start + 250])
    ]
    base = np.asarray(embedded, np.float32)
    numbers = np.random.default_rng(3)
    made = {}
    for share in SHARES:
        count = int(ENTRIES * share)
        parts = base[numbers.integers(len(base), size=(count, 2))]
        mixed = parts[:, 0] + numbers.uniform(0, 0.7, (count, 1)).astype(np.float32) * parts[:, 1]
        mixed += numbers.normal(0, 0.008, mixed.shape).astype(np.float32)
        made[share] = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
    assert base.shape[1] == DIMENSIONS
    return made


def _key(tenant_id: uuid.UUID, scope: str) -> Any:
    from agentplatform.llm.caching.keys import CacheKey

    return CacheKey(tenant_id, "bench.cache", scope, "0" * 64, "a question")


def _fill(
    vectors: dict[float, Matrix], scopes: dict[float, str]
) -> tuple[uuid.UUID, dict[float, list[uuid.UUID]]]:
    """Puts everything into the tables, and builds the index anew as it would have grown."""
    from django.db import connection
    from pgvector import HalfVector

    from apps.gateway.models import CacheVector
    from apps.tenants.models import Tenant
    from tests.integration.caching.kept import answer_of

    tenant_id = Tenant.objects.values_list("pk", flat=True).first()
    assert tenant_id is not None
    response = orjson.dumps(answer_of().response.to_json()).decode()
    ids = {share: [uuid.uuid4() for _ in vectors[share]] for share in scopes}
    index = next(index for index in CacheVector._meta.indexes if index.name == "gateway_cachevector_hnsw")
    with connection.schema_editor() as schema:
        schema.remove_index(CacheVector, index)
    with connection.cursor() as cursor:
        for share, scope in scopes.items():
            with cursor.copy(
                "COPY gateway_cacheentry (id, tenant_id, use_case, scope_hash, key_hash, subject, response, "
                "worth_usd_micros, source_workflow_id, source_call_id, expires_at) FROM STDIN"
            ) as copy:
                for one in ids[share]:
                    copy.write_row(
                        (
                            one,
                            tenant_id,
                            "bench.cache",
                            scope,
                            one.hex * 2,
                            "a question",
                            response,
                            7,
                            one,
                            one,
                            "2100-01-01",
                        )
                    )
            with cursor.copy(
                "COPY gateway_cachevector (entry_id, tenant_id, scope_hash, model, vector) FROM STDIN"
            ) as copy:
                for one, vector in zip(ids[share], vectors[share], strict=True):
                    copy.write_row((one, tenant_id, scope, MODEL_NAME, HalfVector(vector).to_text()))
        cursor.execute("SET maintenance_work_mem = '512MB'")
    with connection.schema_editor() as schema:
        schema.add_index(CacheVector, index)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE gateway_cacheentry")
        cursor.execute("VACUUM ANALYZE gateway_cachevector")
    return tenant_id, ids
