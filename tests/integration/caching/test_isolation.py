"""No answer is ever given across tenants or scopes, however alike the questions are."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import redis
from django.conf import settings as configured

from agentplatform.embedding.vectors import DIMENSIONS
from agentplatform.llm.caching.answers import KeptAnswer
from agentplatform.llm.caching.keys import CacheKey, cache_key
from agentplatform.llm.caching.policy import CachePolicy, Caching
from agentplatform.llm.messages import ModelRequest
from agentplatform.llm.tiers import Tier
from apps.context_cache import quick_client
from apps.gateway.answers import SharedAnswers
from apps.gateway.models import CacheEntry
from apps.tenants.models import Tenant
from apps.tenants.services import tenant_create
from tests.integration.caching.conftest import LAYERS
from tests.integration.caching.kept import answer_of, keep_at
from tests.product import LONG

PROBES = 10_000 if LONG else 1_000
SAME_VECTOR = [DIMENSIONS**-0.5] * DIMENSIONS
"""Of every question: nothing but the scope tells them apart."""
SCOPES = [
    {"knowledge": knowledge, "version": version, "turn": turn}
    for knowledge in ("1", "2", "3")
    for version in ("1", "2")
    for turn in ("", "I have a cat.")
]


def key_in(tenant: Tenant, scope: dict[str, str], question: str = "How long is it?") -> CacheKey:
    turns = [{"role": "user", "content": scope["turn"]}] if scope["turn"] else []
    request = ModelRequest(
        Tier.FAST,
        (*turns, {"role": "user", "content": question}),
        100,
        use_case="a.b",
        asked=question,
        depends_on=(f"knowledge:{scope['knowledge']}",),
    )
    policy = CachePolicy(Caching.SEMANTIC, 3600, scope["version"])
    return cache_key(request, policy, tenant.pk, "agent", None)


@pytest.fixture
def store(server: redis.Redis) -> SharedAnswers:
    """The store of a process."""
    return SharedAnswers(quick_client(configured.REDIS_URL), LAYERS)


@pytest.fixture
def tenants(transactional_db: None) -> list[Tenant]:
    """Six of them."""
    return [tenant_create(name=f"tenant {number}", tier="standard") for number in range(6)]


def test_random_probes_of_other_tenants_and_scopes_find_nothing(
    store: SharedAnswers, tenants: list[Tenant]
) -> None:
    """Though each asks the very same question, with the very same vector, as is answered elsewhere."""
    chance = random.Random(7)
    places = [(tenant, scope) for tenant in tenants for scope in SCOPES]
    answered = set(chance.sample(range(len(places)), len(places) // 2))
    for number in answered:
        keep_at(key_in(*places[number]), answer_of(f"place {number}"), SAME_VECTOR)
    assert CacheEntry.objects.count() == len(answered)
    silent = [place for number, place in enumerate(places) if number not in answered]
    for probe in range(PROBES):
        key = key_in(*chance.choice(silent))
        assert not isinstance(store.look(key, f"p:{probe}"), KeptAnswer)
        store.give_up(key, f"p:{probe}")
        assert store.recall(key, stale=True) is None
        assert not store.near(key, SAME_VECTOR, stale=True)
    for number in answered:
        key = key_in(*places[number])
        (found,) = store.near(key, SAME_VECTOR)
        assert found.answer.response.text == f"place {number}"


def test_a_key_of_one_tenant_opens_nothing_of_another(store: SharedAnswers, tenants: list[Tenant]) -> None:
    """Even one whose hashes are stolen."""
    one, other = tenants[:2]
    key = key_in(one, SCOPES[0])
    keep_at(key, answer_of(), SAME_VECTOR)
    stolen = replace(key, tenant_id=other.pk)
    assert not isinstance(store.look(stolen, "p:1"), KeptAnswer)
    assert store.recall(stolen) is None
    assert not store.near(stolen, SAME_VECTOR)
