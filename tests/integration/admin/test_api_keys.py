"""API keys in the admin: what is shown once, and never again."""

from __future__ import annotations

import json
import logging
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.urls import reverse
from django.utils import timezone

from apps.tenants.models import ApiKey, Tenant
from apps.tenants.selectors import api_key_by_plaintext
from apps.tenants.services import api_key_issue, api_key_revoke
from tests.integration.admin.conftest import Person, change_url, hidden_value, list_url, logged, operation_url

ISSUE = "/admin/tenants/apikey/issue/"


def issue(person: Person, name: str = "backend", tenant: Tenant | None = None) -> Any:
    """Goes through the page that issues a key."""
    url = ISSUE if tenant is None else f"{ISSUE}?tenant={tenant.pk}"
    key_id = hidden_value(person.page(url), "key_id")
    return person.client.post(url, {"confirmed": "1", "key_id": key_id, "name": name})


def plaintext_in(response: Any) -> str:
    """The one key on a page."""
    found = set(re.findall(r"ap_[\w-]{43}", response.content.decode()))
    assert len(found) == 1
    return str(found.pop())


def test_an_issued_key_is_shown_once_and_works(operator: Person, tenant: Tenant) -> None:
    """On the page after issuing; then it is in no page, no message, no session, no cookie and no log entry."""
    response = issue(operator, tenant=tenant)
    assert response.status_code == 200
    plaintext = plaintext_in(response)
    assert "no-store" in response["Cache-Control"]
    api_key = api_key_by_plaintext(plaintext)
    assert api_key is not None
    assert (api_key.tenant, api_key.scope, api_key.name) == (tenant, "tenant", "backend")
    for url in (list_url(ApiKey), change_url(api_key), change_url(tenant), reverse("admin:index"), ISSUE):
        assert plaintext not in operator.page(url)
    assert plaintext not in json.dumps([session.get_decoded() for session in Session.objects.all()])
    assert plaintext not in str(operator.client.cookies)
    assert all(plaintext not in str(vars(entry)) for entry in LogEntry.objects.all())
    assert logged(api_key) == ["Issued for tenant 'acme'"]


def test_no_key_reaches_a_log(operator: Person, caplog: pytest.LogCaptureFixture) -> None:
    """At any level, of any logger."""
    with caplog.at_level(logging.DEBUG):
        plaintext = plaintext_in(issue(operator))
    assert plaintext not in caplog.text


def test_sending_the_form_again_issues_no_second_key(operator: Person) -> None:
    """A reload of the page after issuing says that the key was shown before."""
    key_id = hidden_value(operator.page(ISSUE), "key_id")
    fields = {"confirmed": "1", "key_id": key_id, "name": "once"}
    first = operator.client.post(ISSUE, fields)
    again = operator.client.post(ISSUE, fields, follow=True)
    assert plaintext_in(first)
    assert b"has been issued already" in again.content
    assert plaintext_in(first) not in again.content.decode()
    assert ApiKey.objects.filter(name="once").count() == 1


def test_a_key_without_a_tenant_is_an_operators(operator: Person) -> None:
    """As the list's button issues it."""
    api_key = api_key_by_plaintext(plaintext_in(issue(operator)))
    assert api_key is not None
    assert (api_key.scope, api_key.tenant) == ("operator", None)


def test_a_key_for_a_tenant_that_is_not_there_is_none_at_all(operator: Person) -> None:
    """Neither an operator's by mistake, nor an error."""
    for text in ("", "nonsense", "0" * 32):
        assert (
            operator.client.post(f"{ISSUE}?tenant={text}", {"confirmed": "1", "name": "x"}).status_code == 404
        )
    assert not ApiKey.objects.exists()


def test_a_rotated_key_works_through_its_grace_period(operator: Person, tenant: Tenant) -> None:
    """Old and new, then only the new; both ends are logged."""
    old = api_key_issue(name="backend", tenant=tenant)
    url = operation_url(old.api_key, "rotate")
    key_id = hidden_value(operator.page(url), "key_id")
    response = operator.post(url, confirmed="1", key_id=key_id, grace="168")
    new = api_key_by_plaintext(plaintext_in(response))
    assert new is not None
    assert new.rotated_from == old.api_key
    old.api_key.refresh_from_db()
    assert old.api_key.expires_at is not None
    assert timedelta(days=6, hours=23) < old.api_key.expires_at - timezone.now() <= timedelta(days=7)
    assert api_key_by_plaintext(old.plaintext) is not None
    assert logged(old.api_key) == [f"Rotated: successor {new.prefix}…, grace period 7 days"]
    assert logged(new) == [f"Issued by rotating {old.api_key.prefix}…"]


def test_a_key_is_rotated_without_grace(operator: Person, tenant: Tenant) -> None:
    """The old one stops at once; rotating it again is refused."""
    old = api_key_issue(name="backend", tenant=tenant)
    url = operation_url(old.api_key, "rotate")
    key_id = hidden_value(operator.page(url), "key_id")
    operator.post(url, confirmed="1", key_id=key_id, grace="0")
    assert api_key_by_plaintext(old.plaintext) is None
    other_id = hidden_value(operator.page(url), "key_id")
    again = operator.client.post(url, {"confirmed": "1", "key_id": other_id, "grace": "0"}, follow=True)
    assert b"This key is revoked" in again.content
    assert ApiKey.objects.count() == 2


def test_a_grace_period_is_one_of_those_offered(operator: Person, tenant: Tenant) -> None:
    """Not a thousand years."""
    old = api_key_issue(name="backend", tenant=tenant)
    url = operation_url(old.api_key, "rotate")
    response = operator.confirm(url, key_id=hidden_value(operator.page(url), "key_id"), grace="99999999")
    assert response.status_code == 200
    assert ApiKey.objects.count() == 1


def test_keys_are_revoked_one_by_one_and_together(operator: Person, tenant: Tenant) -> None:
    """At once, and logged."""
    keys = [api_key_issue(name=name, tenant=tenant) for name in "abc"]
    operator.confirm(operation_url(keys[0].api_key, "revoke"))
    assert api_key_by_plaintext(keys[0].plaintext) is None
    assert logged(keys[0].api_key) == ["Revoked: was usable"]
    chosen = {
        "action": "revoke_selected",
        "index": "0",
        ACTION_CHECKBOX_NAME: [str(item.api_key.pk) for item in keys[1:]],
    }
    assert b"Revoke 2 keys?" in operator.client.post(list_url(ApiKey), chosen).content
    operator.client.post(list_url(ApiKey), {**chosen, "confirmed": "1"})
    assert [api_key_by_plaintext(item.plaintext) for item in keys] == [None] * 3


def test_a_key_that_has_ended_offers_nothing(operator: Person, tenant: Tenant) -> None:
    """No rotating, no revoking."""
    ended = api_key_issue(name="old", tenant=tenant).api_key
    assert operation_url(ended, "revoke") in operator.page(change_url(ended))
    api_key_revoke(ended)
    html = operator.page(change_url(ended))
    assert operation_url(ended, "revoke") not in html
    assert operation_url(ended, "rotate") not in html


def test_keys_are_listed_by_state(operator: Person, tenant: Tenant) -> None:
    """Usable, expiring, expired, revoked."""
    keys = {
        name: api_key_issue(name=f"key {name}", tenant=tenant).api_key
        for name in ("usable", "expiring", "expired", "revoked")
    }
    now = timezone.now()
    ApiKey.objects.filter(pk=keys["expiring"].pk).update(expires_at=now + timedelta(hours=1))
    ApiKey.objects.filter(pk=keys["expired"].pk).update(expires_at=now - timedelta(hours=1))
    api_key_revoke(keys["revoked"])
    for state in keys:
        html = operator.page(list_url(ApiKey), state=state)
        assert [name for name in keys if f"key {name}" in html] == [state]


def test_no_hash_can_be_typed_nor_read(administrator: Person, tenant: Tenant) -> None:
    """There is no form for keys, and their hashes are on no page."""
    api_key = api_key_issue(name="one", tenant=tenant).api_key
    assert administrator.get(reverse("admin:tenants_apikey_add")).status_code == 403
    administrator.post(change_url(api_key), key_hash="0" * 64, name="other")
    stored = ApiKey.objects.get(pk=api_key.pk)
    assert (stored.key_hash, stored.name) == (api_key.key_hash, "one")
    for url in (list_url(ApiKey), change_url(api_key)):
        assert api_key.key_hash not in administrator.page(url)
