"""Tenants and their keys: shown once, stored hashed, rotated and revoked."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from apps.tenants.models import ApiKey, Tenant, TenantTier
from apps.tenants.selectors import api_key_by_plaintext
from apps.tenants.services import (
    KeyIssued,
    TenantExists,
    UnknownTier,
    api_key_issue,
    api_key_revoke,
    api_key_rotate,
    tenant_create,
    tenant_reactivate,
    tenant_suspend,
    tiers_ensure,
)


@pytest.fixture
def tenant(db: None) -> Tenant:
    """A standard tenant, gone with the test's transaction."""
    return tenant_create(name="acme", tier="standard")


def expire(api_key: ApiKey, after: timedelta) -> None:
    """The key expires so much later than now."""
    ApiKey.objects.filter(pk=api_key.pk).update(expires_at=timezone.now() + after)


def test_a_key_is_stored_as_its_hash_alone(tenant: Tenant) -> None:
    """Neither the plaintext nor enough of it to guess by is in any column."""
    issued = api_key_issue(name="first", tenant=tenant)
    secret = issued.plaintext.removeprefix("ap_")
    assert len(secret) >= 43  # 256 bits in base 64
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(k)::text FROM tenants_apikey k")
        ((row,),) = cursor.fetchall()
    assert hashlib.sha256(issued.plaintext.encode()).hexdigest() in row
    assert secret not in row
    assert secret[:10] not in row
    assert issued.plaintext.startswith(issued.api_key.prefix)


def test_no_two_keys_are_alike(tenant: Tenant) -> None:
    """Whatever their names."""
    assert len({api_key_issue(name="same", tenant=tenant).plaintext for _ in range(50)}) == 50


def test_a_key_is_found_by_its_plaintext_alone(tenant: Tenant) -> None:
    """Not by its hash, its prefix or its id."""
    issued = api_key_issue(name="first", tenant=tenant)
    assert api_key_by_plaintext(issued.plaintext) == issued.api_key
    others = (
        issued.api_key.key_hash,
        issued.api_key.prefix,
        str(issued.api_key.pk),
        "",
        issued.plaintext + "x",
    )
    assert [api_key_by_plaintext(other) for other in others] == [None] * 5


def test_a_key_is_revoked_once(tenant: Tenant) -> None:
    """The time of the first revocation stays."""
    issued = api_key_issue(name="first", tenant=tenant)
    api_key_revoke(issued.api_key)
    assert api_key_by_plaintext(issued.plaintext) is None
    issued.api_key.refresh_from_db()
    at = issued.api_key.revoked_at
    api_key_revoke(issued.api_key)
    issued.api_key.refresh_from_db()
    assert issued.api_key.revoked_at == at


def test_a_rotated_key_gives_way_to_its_successor(tenant: Tenant) -> None:
    """At once without grace; the successor has the same rights."""
    first = api_key_issue(name="first", tenant=tenant)
    second = api_key_rotate(first.api_key)
    assert api_key_by_plaintext(first.plaintext) is None
    found = api_key_by_plaintext(second.plaintext)
    assert found is not None
    assert (found.tenant, found.name, found.scope) == (tenant, "first", ApiKey.Scope.TENANT)
    assert found.rotated_from == first.api_key


def test_a_rotated_key_works_for_its_grace(tenant: Tenant) -> None:
    """Both do meanwhile."""
    first = api_key_issue(name="first", tenant=tenant)
    second = api_key_rotate(first.api_key, grace=timedelta(hours=1))
    assert api_key_by_plaintext(first.plaintext) is not None
    assert api_key_by_plaintext(second.plaintext) is not None
    first.api_key.refresh_from_db()
    assert first.api_key.expires_at is not None
    left = first.api_key.expires_at - timezone.now()
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    expire(first.api_key, timedelta(0))
    assert api_key_by_plaintext(first.plaintext) is None


def test_a_grace_lets_no_key_live_longer_than_it_would_have(tenant: Tenant) -> None:
    """A key that is about to expire is not prolonged by being rotated, and a revoked one not revived."""
    first = api_key_issue(name="first", tenant=tenant)
    expire(first.api_key, timedelta(minutes=5))
    api_key_rotate(first.api_key, grace=timedelta(days=1))
    first.api_key.refresh_from_db()
    assert first.api_key.expires_at is not None
    assert first.api_key.expires_at - timezone.now() <= timedelta(minutes=5)
    revoked = api_key_issue(name="second", tenant=tenant)
    api_key_revoke(revoked.api_key)
    api_key_rotate(revoked.api_key, grace=timedelta(days=1))
    assert api_key_by_plaintext(revoked.plaintext) is None


def test_a_key_asked_for_twice_is_issued_once(tenant: Tenant) -> None:
    """A form that is sent again gives no second key; a rotation that fails leaves the old key alone."""
    first = api_key_issue(name="first", tenant=tenant)
    with pytest.raises(KeyIssued):
        api_key_issue(name="again", tenant=tenant, key_id=first.api_key.pk)
    with pytest.raises(KeyIssued):
        api_key_rotate(first.api_key, key_id=first.api_key.pk)
    assert api_key_by_plaintext(first.plaintext) is not None
    assert ApiKey.objects.count() == 1


def test_the_database_knows_whose_a_key_is(tenant: Tenant) -> None:
    """A tenant's key has a tenant, an operator's has none, whoever writes it."""
    operator = api_key_issue(name="operator")
    assert (operator.api_key.scope, operator.api_key.tenant) == (ApiKey.Scope.OPERATOR, None)
    with pytest.raises(IntegrityError), transaction.atomic():
        ApiKey.objects.filter(pk=operator.api_key.pk).update(tenant=tenant)
    own = api_key_issue(name="own", tenant=tenant)
    with pytest.raises(IntegrityError), transaction.atomic():
        ApiKey.objects.filter(pk=own.api_key.pk).update(scope=ApiKey.Scope.OPERATOR)


def test_a_tenants_name_is_its_own(tenant: Tenant) -> None:
    """Another tenant needs another name, and every tenant a tier that there is."""
    with pytest.raises(TenantExists, match="acme"):
        tenant_create(name="acme", tier="free")
    with pytest.raises(UnknownTier, match="enterprise"):
        tenant_create(name="other", tier="golden")
    assert Tenant.objects.count() == 1


def test_a_suspended_tenant_says_why_until_it_is_reactivated(tenant: Tenant) -> None:
    """The reason is for operators."""
    tenant_suspend(tenant, reason="unpaid")
    tenant.refresh_from_db()
    assert (tenant.is_active, tenant.status_reason) == (False, "unpaid")
    tenant_reactivate(tenant)
    tenant.refresh_from_db()
    assert (tenant.is_active, tenant.status_reason) == (True, "")


def test_what_an_operator_has_set_stays(db: None) -> None:
    """Tiers are created where they are missing, and never set back."""
    TenantTier.objects.filter(name="free").update(weight=7)
    TenantTier.objects.filter(name="enterprise").delete()
    tiers_ensure()
    assert TenantTier.objects.get(name="free").weight == 7
    assert TenantTier.objects.get(name="enterprise").pool == "enterprise"


def printed(*words: str) -> str:
    """What a management command prints."""
    output = StringIO()
    call_command(*words, stdout=output)
    return output.getvalue()


def key_in(text: str) -> ApiKey | None:
    """The key that a command has printed."""
    (plaintext,) = [word for word in text.split() if word.startswith("ap_")]
    return api_key_by_plaintext(plaintext)


def test_a_tenant_is_created_at_a_terminal_with_a_key(db: None) -> None:
    """The key works, and is printed once; a name that is taken is said to be."""
    created = key_in(printed("tenant", "create", "acme", "--tier", "free"))
    assert created is not None
    assert created.tenant is not None
    assert (created.tenant.name, created.tenant.tier_id) == ("acme", "free")
    another = key_in(printed("tenant", "key", "acme"))
    assert another is not None
    assert another.tenant == created.tenant
    for words in (("create", "acme"), ("create", "x", "--tier", "golden"), ("key", "nobody")):
        with pytest.raises(CommandError):
            call_command("tenant", *words)
    assert Tenant.objects.count() == 1


def test_an_operator_is_given_a_key_at_a_terminal(db: None) -> None:
    """With the operator's scope."""
    key = key_in(printed("operator", "create", "ops"))
    assert key is not None
    assert (key.scope, key.name, key.tenant) == (ApiKey.Scope.OPERATOR, "ops", None)
