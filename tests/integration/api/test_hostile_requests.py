"""No request whatever is answered with a 500, and none that is refused leaves anything behind."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.knowledge.models import Document
from apps.workflows.models import Workflow
from tests.integration.api.conftest import DOCUMENTS, PROBLEM, WORKFLOWS, Api

FUZZED = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

texts = st.text(max_size=40) | st.sampled_from(
    ["\x00", "\\u0000", "\ud800", "a/b~c", "%s", "'", "\u2028", "𝟙"]
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**31, 2**63, 2**64, -(2**63) - 1, 10**400, 1e308, 5e-324])
    | st.floats()
    | texts
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


def mutated(valid: dict[str, Any]) -> st.SearchStrategy[Any]:
    """A valid body in which some fields are left out, replaced or added."""
    return st.builds(
        lambda dropped, changed: {
            name: value for name, value in {**valid, **changed}.items() if name not in dropped
        },
        st.sets(st.sampled_from(sorted(valid)), max_size=2),
        st.dictionaries(st.sampled_from(sorted(valid)) | texts, values, max_size=3),
    )


submissions = mutated(
    {
        "type": "answer_question",
        "input": {"question": "What is a lease?"},
        "priority": "batch",
        "deadline_seconds": 60,
        "max_cost_usd": 0.5,
        "metadata": {"a": 1},
        "dry_run": False,
    }
)
documents = mutated(
    {
        "title": "T",
        "content": "# A\n\nText.",
        "content_type": "text/plain",
        "external_id": "x",
        "metadata": {"a": 1},
    }
)
any_body = st.one_of(
    submissions.map(lambda body: json.dumps(body).encode()),
    documents.map(lambda body: json.dumps(body).encode()),
    values.map(lambda body: json.dumps(body).encode()),
    st.binary(max_size=60),
)
queries = st.dictionaries(
    st.sampled_from(["limit", "cursor", "status", "type", "external_id", "format", "last_event_id"]) | texts,
    texts | st.integers().map(str),
    max_size=3,
).map(lambda query: "&".join(f"{escaped(name)}={escaped(value)}" for name, value in query.items()))
header_values = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=40
)
headers = st.dictionaries(
    st.sampled_from(["Idempotency-Key", "Accept", "Content-Encoding", "X-Forwarded-Host", "Range", "Cookie"]),
    header_values,
    max_size=2,
)


def escaped(text: str) -> str:
    """The text as part of a URL."""
    return quote(text.encode("utf-8", "surrogatepass"), safe="")


def check(response: Any) -> None:
    """It is an answer, and an error is a problem document."""
    assert response.status_code < 500, response.content[:300]
    if response.status_code >= 400:
        assert response["Content-Type"] == PROBLEM
        assert (
            response.request["REQUEST_METHOD"] == "HEAD" or response.json()["status"] == response.status_code
        )


@FUZZED
@given(body=submissions | values)
def test_any_submission_is_taken_whole_or_not_at_all(
    api: Api, stored: Callable[[], tuple[int, ...]], body: Any
) -> None:
    """202 with a run to be read, 200 for a plan, or 4xx; only the first stores."""
    before = stored()
    response = api.send("POST", WORKFLOWS, json.dumps(body).encode())
    check(response)
    if response.status_code == 202:
        assert Workflow.objects.count() == before[0] + 1
        read = api.get(f"{WORKFLOWS}{response.json()['workflow_id']}/")
        assert read.status_code == 200
        assert read.json()["metadata"] == body.get("metadata", {})
    else:
        assert stored() == before


@FUZZED
@given(body=documents | values)
def test_any_document_is_taken_whole_or_not_at_all(
    api: Api, stored: Callable[[], tuple[int, ...]], body: Any
) -> None:
    """What is taken is read back as it was sent."""
    Document.objects.all().delete()
    before = stored()
    response = api.send("POST", DOCUMENTS, json.dumps(body).encode())
    check(response)
    if response.status_code == 201:
        read = api.get(f"{DOCUMENTS}{response.json()['id']}/").json()
        assert read["content"] == body["content"]
        assert read["title"] == body["title"].strip()
    else:
        assert stored() == before


@FUZZED
@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "X"]),
    base=st.sampled_from([WORKFLOWS, DOCUMENTS, "/api/v1/definitions/", "/api/v1/"]),
    tail=st.sampled_from(["", f"{uuid.UUID(int=1)}/", f"{uuid.UUID(int=1)}/cancel/", "answer_question/"])
    | texts.map(lambda text: escaped(text) + "/"),
    query=queries,
    body=any_body,
    content_type=st.sampled_from(["application/json", "application/x-www-form-urlencoded", ""])
    | header_values,
    headers=headers,
)
def test_any_request_is_answered(
    api: Api,
    method: str,
    base: str,
    tail: str,
    query: str,
    body: bytes,
    content_type: str,
    headers: dict[str, str],
) -> None:
    """Whatever its method, path, query, headers and body."""
    check(api.send(method, f"{base}{tail}?{query}", body, content_type, **headers))


@FUZZED
@given(body=documents | values, replaces=st.booleans())
def test_any_change_of_a_document_is_made_whole_or_not_at_all(api: Api, body: Any, replaces: bool) -> None:
    """A refused one leaves the document as it was."""
    Document.objects.all().delete()
    path = f"{DOCUMENTS}{api.upload()['id']}/"
    before = api.get(path).json()
    response = api.send("PUT" if replaces else "PATCH", path, json.dumps(body).encode())
    check(response)
    after = api.get(path).json()
    if response.status_code == 200:
        assert after == response.json()
    else:
        assert after == before


@FUZZED
@given(header=header_values | st.builds("Bearer {}".format, header_values))
def test_any_authorization_header_is_answered(anonymous: Api, header: str) -> None:
    """With 401."""
    response = anonymous.get(WORKFLOWS, Authorization=header)
    check(response)
    assert response.status_code == 401
