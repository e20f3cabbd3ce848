"""Retrieval by full text: what is found, in which order, and whose it is."""

from __future__ import annotations

from typing import Any

import pytest

from apps.knowledge.selectors import Passage, search_passages
from apps.knowledge.services import document_create, document_delete, document_update
from apps.tenants.models import Tenant
from apps.tenants.services import tenant_create

KEYS = """# API keys

## Rotating

To rotate a key, choose Rotate in the admin. The old key works for an hour more.

## Revoking

A revoked key is refused at once.

# Budgets

A budget caps what a tenant spends in a month.
"""


@pytest.fixture
def tenant(db: None) -> Tenant:
    """A standard tenant, gone with the test's transaction."""
    return tenant_create(name="acme", tier="standard")


def add(tenant: Tenant, content: str, title: str = "T") -> Any:
    """A Markdown document."""
    return document_create(tenant=tenant, title=title, content=content, content_type="text/markdown")


def search(tenant: Tenant, question: str, limit: int = 6) -> list[Passage]:
    """What the tenant finds."""
    return search_passages(tenant_id=tenant.pk, question=question, limit=limit)


def test_any_word_of_a_question_may_match_whatever_its_form(tenant: Tenant) -> None:
    """Stemmed: 'rotation' finds 'rotate'; words that nothing has stop nothing."""
    document = add(tenant, KEYS, "Keys")
    (best, *_) = search(tenant, "How does the rotation of zebras work?")
    assert (best.heading, best.title, best.document_id) == ("API keys › Rotating", "Keys", document.pk)
    assert "choose Rotate" in best.text


def test_the_passage_that_has_more_of_the_question_comes_first(tenant: Tenant) -> None:
    """Ranks fall and lie in (0, 1]."""
    add(tenant, KEYS)
    found = search(tenant, "When is a revoked key refused?")
    assert found[0].heading == "API keys › Revoking"
    ranks = [passage.rank for passage in found]
    assert ranks == sorted(ranks, reverse=True)
    assert all(0 < rank <= 1 for rank in ranks)


def test_a_heading_weighs_more_than_the_text(tenant: Tenant) -> None:
    """A passage about budgets before one that mentions them."""
    add(tenant, "# Tenants\n\nA budget is set for each.\n\n# Budgets\n\nThey cap what is spent.")
    assert [passage.heading for passage in search(tenant, "budgets")] == ["Budgets", "Tenants"]


def test_a_heading_without_text_is_found(tenant: Tenant) -> None:
    """It may be the whole answer."""
    add(tenant, "# Questions\n\n## Does it support gzip? Yes.\n\n## Next\n\nText.")
    assert [passage.text for passage in search(tenant, "gzip")] == ["Does it support gzip? Yes."]


def test_no_more_are_returned_than_asked_for(tenant: Tenant) -> None:
    """The best ones."""
    add(tenant, "\n\n".join(f"# H{number}\n\nkey" for number in range(10)))
    assert len(search(tenant, "key")) == 6
    assert len(search(tenant, "key", limit=2)) == 2


def test_each_tenant_finds_its_own_alone(tenant: Tenant) -> None:
    """However well another's would match."""
    other = tenant_create(name="other", tier="standard")
    add(other, KEYS, "Theirs")
    assert search(tenant, "How do I rotate an API key?") == []
    add(tenant, "# Mine\n\nA key of mine.", "Mine")
    assert {passage.title for passage in search(tenant, "rotate an API key")} == {"Mine"}
    assert {passage.title for passage in search(other, "rotate an API key")} == {"Theirs"}


def test_what_is_changed_or_deleted_is_found_no_more(tenant: Tenant) -> None:
    """Only the new content is."""
    document = add(tenant, "# A\n\nzebra")
    document_update(document, {"content": "# A\n\ngiraffe"})
    assert search(tenant, "zebra") == []
    assert len(search(tenant, "giraffe")) == 1
    document_delete(document)
    assert search(tenant, "giraffe") == []


@pytest.mark.parametrize(
    "question",
    [
        "",
        "the of and",
        "' OR 1=1 --",
        "a & b | !c <-> (d:*)",
        'quote\'s "quotes" \\ backslash',
        "https://example.com/path?a=1&b=2",
        "user@example.com",
        "%s %(question)s %%",
        "😀 日本語",
        "word " * 400,
    ],
)
def test_any_question_may_be_asked(tenant: Tenant, question: str) -> None:
    """What looks like syntax is only words."""
    add(tenant, KEYS)
    assert all(0 < passage.rank <= 1 for passage in search(tenant, question))


@pytest.mark.parametrize(
    "word",
    ["state-of-the-art", "https://example.com/path?a=1&b=2", "user@example.com", "v1.2.3", "日本語"],
)
def test_a_word_with_signs_in_it_is_found(tenant: Tenant, word: str) -> None:
    """Hyphens, addresses, versions."""
    add(tenant, f"# A\n\nSee {word} there.\n\n# B\n\nNothing.")
    assert [passage.heading for passage in search(tenant, f"What about {word} ?")] == ["A"]
