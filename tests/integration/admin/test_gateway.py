"""Tiers, providers and prices in the admin, and who may change them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.urls import reverse

from agentplatform.simulator.settings import SimulatorSettings
from apps.gateway.models import CircuitTrip, ModelPrice, ModelTier, Provider, ProviderRate, TierProvider
from tests.integration.admin.conftest import Person, change_url, list_url, logged, operation_url, person_make
from tests.unit.conftest import RunningSimulator, serve

KEY = "anthropic/claude-haiku-5-5"


@pytest.fixture
def somebody(db: None) -> Callable[..., Person]:
    """A person in one of the groups, gone with the test's transaction."""
    return person_make


@pytest.fixture
def finance(somebody: Callable[..., Person]) -> Person:
    return somebody("finance")


def tier_fields(
    tier: ModelTier, *, rows: list[dict[str, str]] | None = None, **changed: str
) -> dict[str, str]:
    """The form of a tier's page as it is shown, with some of it changed; `rows` are added to its providers."""
    fields = {
        "model": tier.model,
        "max_complexity": str(tier.max_complexity),
        "use_cases": "[]",
        "context_window_tokens": str(tier.context_window_tokens),
        "max_output_tokens": str(tier.max_output_tokens),
        "min_cache_tokens": str(tier.min_cache_tokens),
    }
    targets = [
        {
            "id": str(row.pk),
            "provider": row.provider_id,
            "position": str(row.position),
            "model_name": row.model_name,
        }
        for row in tier.targets.all()
    ]
    given = [*targets, *(rows or [])]
    fields |= {"targets-TOTAL_FORMS": str(len(given)), "targets-INITIAL_FORMS": str(len(targets))}
    for number, row in enumerate(given):
        fields |= {f"targets-{number}-tier": tier.pk}
        fields |= {f"targets-{number}-{name}": value for name, value in row.items()}
    return {**fields, **changed}


def provider_fields(**changed: str) -> dict[str, str]:
    """The form of a new provider without rates."""
    fields = {
        "name": "second",
        "kind": "anthropic",
        "base_url": "https://llm.example.com",
        "secret": "env:SECOND_KEY",
        "is_enabled": "on",
        "rates-TOTAL_FORMS": "0",
        "rates-INITIAL_FORMS": "0",
    }
    return {**fields, **changed}


def price_fields(**changed: str) -> dict[str, str]:
    names = ("input_usd", "output_usd", "cache_write_5m_usd", "cache_write_1h_usd", "cache_read_usd")
    return {
        "model": "house-model",
        "provider": "",
        "valid_from": "2026-01-01",
        **dict.fromkeys(names, "2"),
        **changed,
    }


def fast() -> ModelTier:
    return ModelTier.objects.get(pk="fast")


# --- Tiers -------------------------------------------------------------------------------------------------


def test_an_operator_sets_a_tier_and_the_order_of_its_providers(operator: Person) -> None:
    """With before and after in the log."""
    Provider.objects.create(name="second", kind="anthropic", secret="env:SECOND_KEY")
    second = {"provider": "second", "position": "1", "model_name": "haiku-there"}
    fields = tier_fields(fast(), rows=[second], max_complexity="0.4", use_cases='["b.x", "a.y"]')
    assert operator.post(change_url(fast()), **fields).status_code == 302
    tier = fast()
    assert (tier.max_complexity, tier.use_cases) == (0.4, ["a.y", "b.x"])
    assert list(tier.targets.values_list("provider", "model_name")) == [
        ("anthropic", ""),
        ("second", "haiku-there"),
    ]
    (message,) = logged(tier)
    assert "max_complexity 0.3 → 0.4" in message
    assert "second" in message
    assert "anthropic, second" in operator.page(list_url(ModelTier))


@pytest.mark.parametrize(
    ("tier", "changed", "complaint"),
    [
        ("fast", {"max_complexity": "0.71"}, "above that of balanced, which is 0.7"),
        ("balanced", {"max_complexity": "0.2"}, "below that of fast, which is 0.3"),
        ("powerful", {"max_complexity": "0.9"}, "its limit is 1.0"),
        ("fast", {"max_complexity": "nan"}, "Enter a number"),
        ("fast", {"use_cases": '{"a": 1}'}, "Give a list of strings"),
        ("fast", {"use_cases": "[1]"}, "Give a list of strings"),
        ("balanced", {"use_cases": '["summarize_document.summarize"]'}, "is sent to fast already"),
        ("fast", {"model": "house-model"}, "There is no price for house-model at anthropic"),
        ("fast", {"model": "a/b"}, "letters, digits and"),
        ("fast", {"context_window_tokens": "64000"}, "hold more than the output"),
        ("fast", {"max_output_tokens": "0"}, "choose 1 or more"),
    ],
)
def test_a_tier_that_makes_no_sense_is_refused_in_words(
    operator: Person, tier: str, changed: dict[str, str], complaint: str
) -> None:
    """And nothing has changed."""
    row = ModelTier.objects.get(pk=tier)
    before = ModelTier.objects.filter(pk=tier).values().get()
    response = operator.post(change_url(row), **tier_fields(row, **changed))
    assert response.status_code == 200
    assert complaint in response.content.decode()
    assert ModelTier.objects.filter(pk=tier).values().get() == before


def test_a_model_with_a_price_of_our_own_may_stand_for_a_tier(operator: Person, finance: Person) -> None:
    """Finance sets it first; then it cannot be taken away, nor moved to the future, while the tier uses it."""
    assert finance.post(reverse("admin:gateway_modelprice_add"), **price_fields()).status_code == 302
    price = ModelPrice.objects.get()
    assert operator.post(change_url(fast()), **tier_fields(fast(), model="house-model")).status_code == 302
    assert fast().model == "house-model"
    moved = finance.post(change_url(price), **price_fields(valid_from="2199-01-01"))
    assert "there would be no price for house-model at anthropic" in moved.content.decode()
    finance.post(reverse("admin:gateway_modelprice_delete", args=[price.pk]), post="yes")
    price.refresh_from_db()
    assert str(price.valid_from) == "2026-01-01"
    assert f"own price {price.pk}" in finance.page(list_url(ModelPrice))


def test_a_tier_that_nobody_serves_is_warned_of(operator: Person) -> None:
    """On disabling its provider as on taking it away."""
    anthropic = Provider.objects.get()
    fields = provider_fields(name="", base_url="", secret="env:ANTHROPIC_API_KEY")
    del fields["is_enabled"]
    response = operator.client.post(change_url(anthropic), fields, follow=True)
    html = response.content.decode()
    for tier in ("fast", "balanced", "powerful"):
        assert f"No enabled provider serves {tier}" in html
    assert "(anthropic, disabled)" in operator.page(list_url(ModelTier))


# --- Providers ---------------------------------------------------------------------------------------------


def test_a_provider_is_made_with_its_rates_and_its_secret_is_nowhere(
    operator: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages and log name the place of the secret, and whether it is there."""
    rates = {"rates-TOTAL_FORMS": "1", "rates-0-family": "claude-haiku", "rates-0-requests_per_minute": "600"}
    fields = provider_fields(**rates)
    assert operator.post(reverse("admin:gateway_provider_add"), **fields).status_code == 302
    provider = Provider.objects.get(pk="second")
    assert ProviderRate.objects.get(provider=provider).requests_per_minute == 600
    assert "is not there" in operator.page(change_url(provider))
    monkeypatch.setenv("SECOND_KEY", "sk-of-the-second")
    for html in (operator.page(change_url(provider)), operator.page(list_url(Provider))):
        assert "env:SECOND_KEY" in html
        assert "is there" in html
        assert "sk-of-the-second" not in html
    (message,) = logged(provider)
    assert "secret 'env:SECOND_KEY'" in message


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"secret": "sk-ant-something"}, "Say where the secret is, not the secret itself"),
        ({"secret": ""}, "needs a key"),
        ({"secret": "env:DJANGO_SECRET_KEY"}, "is sent to no provider"),
        ({"secret": "file:/proc/self/environ"}, "own; put the key into another"),
        ({"secret": "file:/tmp/../proc/self/environ"}, "own; put the key into another"),
        ({"base_url": "ftp://llm.example.com"}, "begins with https://"),
        ({"base_url": "llm.example.com"}, "begins with https://"),
        ({"base_url": "https://"}, "begins with https://"),
        ({"base_url": "https://llm.example.com:port"}, "This is no address."),
        ({"base_url": "https://user:pass@llm.example.com"}, "Leave user and password out"),
        ({"base_url": "https://llm.example.com/?key=1"}, "Leave out what follows"),
        ({"kind": "vertex", "secret": ""}, "Vertex needs a region."),
        ({"kind": "bedrock", "takes_batches": "on"}, "Only providers of kind Anthropic take batches."),
        ({"name": "two words"}, "valid “slug”"),
        (
            {"rates-TOTAL_FORMS": "1", "rates-0-family": "claude", "rates-0-requests_per_minute": "0"},
            "leave it empty for no limit",
        ),
        ({"rates-TOTAL_FORMS": "1", "rates-0-family": "claude"}, "Give at least one limit"),
    ],
)
def test_a_provider_that_makes_no_sense_is_refused_in_words(
    operator: Person, changed: dict[str, str], complaint: str
) -> None:
    """And there is none."""
    response = operator.post(reverse("admin:gateway_provider_add"), **provider_fields(**changed))
    assert response.status_code == 200
    assert complaint in response.content.decode()
    assert not Provider.objects.exclude(pk="anthropic").exists()


def test_a_host_without_a_dot_is_an_address(operator: Person) -> None:
    """As containers have them."""
    fields = provider_fields(base_url="http://proxy:8080/anthropic/")
    assert operator.post(reverse("admin:gateway_provider_add"), **fields).status_code == 302
    assert Provider.objects.get(pk="second").base_url == "http://proxy:8080/anthropic"


def test_a_provider_that_serves_a_tier_is_not_deleted(operator: Person) -> None:
    """It is taken out of its tiers first."""
    anthropic = Provider.objects.get()
    operator.post(reverse("admin:gateway_provider_delete", args=[anthropic.pk]), post="yes")
    assert Provider.objects.filter(pk="anthropic").exists()


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    yield from serve(SimulatorSettings(latency_scale=0))


def test_a_provider_is_asked_whether_it_answers(
    operator: Person, simulator: RunningSimulator, tmp_path: Path
) -> None:
    """Once its page has been answered; what came of it is said and in the log."""
    key = tmp_path / "key"
    key.write_text("simulator-second\n")
    second = Provider.objects.create(
        name="second", kind="anthropic", base_url=f"{simulator.url}/second", secret=f"file:{key}"
    )
    TierProvider.objects.create(tier_id="powerful", provider=second, position=1)
    url = operation_url(second, "ask")
    assert "which is free" in operator.page(url)
    assert logged(second) == []
    html = operator.client.post(url, {"confirmed": "1"}, follow=True).content.decode()
    assert "second answers, after" in html
    assert "tokens for claude-opus-5-5" in html
    key.write_text("wrong")
    html = operator.client.post(url, {"confirmed": "1"}, follow=True).content.decode()
    assert "authentication_error" in html
    key.unlink()
    html = operator.client.post(url, {"confirmed": "1"}, follow=True).content.decode()
    assert f"set file:{key}" in html.replace("&#x27;", "'")
    assert logged(second) == [
        "Tested: answered",
        "Tested: authentication_error",
        "Tested: provider_not_configured",
    ]


def test_one_that_does_not_count_is_asked_for_a_token(
    operator: Person, simulator: RunningSimulator, tmp_path: Path
) -> None:
    """Bedrock."""
    key = tmp_path / "key"
    key.write_text("AKIASIMULATORBEDROCK:any")
    bedrock = Provider.objects.create(
        name="bedrock",
        kind="bedrock",
        base_url=f"{simulator.url}/bedrock",
        secret=f"file:{key}",
        region="eu-west-1",
    )
    TierProvider.objects.create(
        tier_id="fast", provider=bedrock, position=1, model_name="anthropic.claude-haiku-5-5"
    )
    html = operator.client.post(
        operation_url(bedrock, "ask"), {"confirmed": "1"}, follow=True
    ).content.decode()
    assert "bedrock answers, after" in html
    assert "answered 1 token" in html


# --- Prices ------------------------------------------------------------------------------------------------


def test_a_price_of_our_own_stands_beside_the_listed_one(finance: Person) -> None:
    """And goes before it, where calls are paid for."""
    url = list_url(ModelPrice)
    html = finance.page(url)
    assert "genai-prices" in html
    assert "claude-haiku-5-5" in html
    fields = price_fields(model="claude-haiku-5-5", input_usd="0.123")
    assert finance.post(reverse("admin:gateway_modelprice_add"), **fields).status_code == 302
    price = ModelPrice.objects.get()
    assert "$0.123" in finance.page(url)
    assert "As listed by genai-prices" in finance.page(change_url(price))
    assert "input_usd 0.123" in logged(price)[0]
    again = finance.post(reverse("admin:gateway_modelprice_add"), **fields)
    assert "already exists" in again.content.decode() or "violated" in again.content.decode()
    negative = finance.post(reverse("admin:gateway_modelprice_add"), **price_fields(output_usd="-1"))
    assert "A price is 0 or more." in negative.content.decode()
    assert ModelPrice.objects.count() == 1


# --- Who may what ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", ["finance", "read-only"])
def test_who_only_reads_changes_nothing_of_the_gateway(
    somebody: Callable[..., Person], closed: None, group: str
) -> None:
    """Forms and operations, forged, are answered 403."""
    person = somebody(group)
    anthropic = Provider.objects.get()
    assert person.post(change_url(fast()), **tier_fields(fast(), max_complexity="0.1")).status_code == 403
    assert person.post(reverse("admin:gateway_provider_add"), **provider_fields()).status_code == 403
    assert person.post(change_url(anthropic), **provider_fields()).status_code == 403
    assert person.post(operation_url(anthropic, "ask"), confirmed="1").status_code == 403
    for name in ("open", "reset"):
        url = reverse(f"admin:gateway_circuittrip_{name}", args=KEY.split("/"))
        assert person.post(url, confirmed="1", minutes="5", reason="forged").status_code == 403
        assert url not in person.page(list_url(CircuitTrip))
    assert fast().max_complexity == 0.3
    assert not CircuitTrip.objects.exists()


@pytest.mark.parametrize("group", ["operator", "read-only"])
def test_prices_are_finances_alone(somebody: Callable[..., Person], group: str) -> None:
    """Others see them."""
    person = somebody(group)
    assert person.get(list_url(ModelPrice)).status_code == 200
    assert person.post(reverse("admin:gateway_modelprice_add"), **price_fields()).status_code == 403
    assert not ModelPrice.objects.exists()
