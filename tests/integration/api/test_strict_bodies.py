"""A body is taken as it is meant or refused with what is wrong; nothing is stored of one that is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.api.conftest import DOCUMENTS, WORKFLOWS, Api, assert_problem

Stored = Callable[[], tuple[int, ...]]


def deep(levels: int) -> bytes:
    """A submission whose input is nested `levels` deep."""
    return b'{"type": "one_noop", "input": ' + b'{"a":' * levels + b"1" + b"}" * levels + b"}"


MALFORMED = {
    "nothing but white space": b" ",
    "no JSON": b"hello",
    "cut off": b'{"type": "one_noop", "input": {',
    "a trailing comma": b'{"type": "one_noop", "input": {},}',
    "two documents": b"{}{}",
    "NaN": b'{"type": "one_noop", "input": {"a": NaN}}',
    "Infinity": b'{"type": "one_noop", "input": {"a": Infinity}}',
    "a number out of range": b'{"type": "one_noop", "input": {"a": 1e999}}',
    "a negative number out of range": b'{"type": "one_noop", "input": {"a": -1e999}}',
    "an integer beyond 64 bits": b'{"type": "one_noop", "input": {"a": -9223372036854775809}}',
    "a float that is a longer integer": b'{"type": "one_noop", "input": {"a": 1e300}}',
    "U+0000 in a value": b'{"type": "one_noop", "input": {"a": "\\u0000"}}',
    "U+0000 in a name": b'{"type": "one_noop", "input": {"\\u0000": 1}}',
    "half a surrogate pair": b'{"type": "one_noop", "input": {"a": "\\ud800"}}',
    "invalid UTF-8": b'{"type": "one_noop", "input": {"a": "\xff\xfe"}}',
    "UTF-16": '{"type": "one_noop", "input": {}}'.encode("utf-16"),
    "an array": b"[]",
    "a string": b'"one_noop"',
    "a number": b"1",
    "null": b"null",
    "sixty-six levels": deep(66),
    "ten thousand levels": deep(10_000),
    "a hundred thousand brackets": b"[" * 100_000,
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
@pytest.mark.parametrize("path", [WORKFLOWS, DOCUMENTS])
def test_a_malformed_body_is_400(api: Api, stored: Stored, path: str, body: bytes) -> None:
    """What JSON does not allow, or the database cannot keep."""
    assert_problem(api.send("POST", path, body), 400, "malformed-json")
    assert not any(stored())


def test_a_nested_input_within_the_limit_is_taken(api: Api) -> None:
    """Sixty levels are no problem."""
    assert api.send("POST", WORKFLOWS, deep(60)).status_code == 202


def test_an_empty_body_lacks_its_fields(api: Api, stored: Stored) -> None:
    """No body is an object without fields: each that is needed is named."""
    problem = assert_problem(api.send("POST", WORKFLOWS, b""), 400, "invalid-request")
    assert problem["errors"] == [{"pointer": "/input", "detail": "This field is required."}]
    problem = assert_problem(api.send("POST", DOCUMENTS, b""), 400, "invalid-request")
    assert {error["pointer"] for error in problem["errors"]} == {"/title", "/content"}
    assert not any(stored())


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/xml",
        "",
        "x",
    ],
)
def test_another_content_type_is_415(api: Api, stored: Stored, content_type: str) -> None:
    """Only application/json is read."""
    response = api.send("POST", WORKFLOWS, b'{"type": "one_noop", "input": {}}', content_type)
    assert_problem(response, 415, "unsupported-media-type")
    assert not any(stored())


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "APPLICATION/JSON"])
def test_a_content_type_may_have_parameters(api: Api, content_type: str) -> None:
    """A charset changes nothing: JSON is UTF-8."""
    response = api.send("POST", WORKFLOWS, b'{"type": "one_noop", "input": {}}', content_type)
    assert response.status_code == 202


HUGE = 2**70
WRONG_SUBMISSIONS: list[tuple[dict[str, Any], str]] = [
    ({"unknown": 1}, "/unknown"),
    ({"prioriy": "batch"}, "/prioriy"),
    ({"a/b~c": 1}, "/a~1b~0c"),
    ({"input": []}, "/input"),
    ({"input": "text"}, "/input"),
    ({"input": None}, "/input"),
    ({"type": 1}, "/type"),
    ({"type": None}, "/type"),
    ({"type": ["one_noop"]}, "/type"),
    ({"type": ""}, "/type"),
    ({"type": "x" * 65}, "/type"),
    ({"type": "x" * 100_000}, "/type"),
    ({"priority": "urgent"}, "/priority"),
    ({"priority": None}, "/priority"),
    ({"priority": ["batch"]}, "/priority"),
    ({"priority": {}}, "/priority"),
    ({"deadline_seconds": 0}, "/deadline_seconds"),
    ({"deadline_seconds": -1}, "/deadline_seconds"),
    ({"deadline_seconds": 7 * 86_400 + 1}, "/deadline_seconds"),
    ({"deadline_seconds": HUGE}, "/deadline_seconds"),
    ({"deadline_seconds": 1.5}, "/deadline_seconds"),
    ({"deadline_seconds": "60"}, "/deadline_seconds"),
    ({"deadline_seconds": True}, "/deadline_seconds"),
    ({"deadline_seconds": None}, "/deadline_seconds"),
    ({"max_cost_usd": 0}, "/max_cost_usd"),
    ({"max_cost_usd": -0.01}, "/max_cost_usd"),
    ({"max_cost_usd": 0.0000001}, "/max_cost_usd"),
    ({"max_cost_usd": 1_000_000}, "/max_cost_usd"),
    ({"max_cost_usd": HUGE}, "/max_cost_usd"),
    ({"max_cost_usd": True}, "/max_cost_usd"),
    ({"max_cost_usd": "NaN"}, "/max_cost_usd"),
    ({"max_cost_usd": "a lot"}, "/max_cost_usd"),
    ({"max_cost_usd": [1]}, "/max_cost_usd"),
    ({"metadata": []}, "/metadata"),
    ({"metadata": "x"}, "/metadata"),
    ({"metadata": {"a": "x" * 17_000}}, "/metadata"),
    ({"dry_run": "true"}, "/dry_run"),
    ({"dry_run": 1}, "/dry_run"),
    ({"dry_run": "no"}, "/dry_run"),
    ({"dry_run": None}, "/dry_run"),
    ({"dry_run": []}, "/dry_run"),
]


@pytest.mark.parametrize(
    ("fields", "pointer"), WRONG_SUBMISSIONS, ids=[repr(f)[:40] for f, _ in WRONG_SUBMISSIONS]
)
def test_a_wrong_field_of_a_submission_is_named(
    api: Api, stored: Stored, fields: dict[str, Any], pointer: str
) -> None:
    """400, with a JSON Pointer to what is wrong."""
    response = api.post(WORKFLOWS, {"type": "one_noop", "input": {}, **fields})
    problem = assert_problem(response, 400, "invalid-request")
    assert [error["pointer"] for error in problem["errors"]] == [pointer]
    assert not any(stored())


WRONG_DOCUMENTS: list[tuple[dict[str, Any], str]] = [
    ({"unknown": 1}, "/unknown"),
    ({"id": "mine"}, "/id"),
    ({"tenant": "other"}, "/tenant"),
    ({"title": ""}, "/title"),
    ({"title": 1}, "/title"),
    ({"title": True}, "/title"),
    ({"title": "x" * 501}, "/title"),
    ({"content": ""}, "/content"),
    ({"content": ["words"]}, "/content"),
    ({"content": None}, "/content"),
    ({"content_type": "text/html"}, "/content_type"),
    ({"content_type": 1}, "/content_type"),
    ({"external_id": ""}, "/external_id"),
    ({"external_id": 1}, "/external_id"),
    ({"external_id": "x" * 501}, "/external_id"),
    ({"metadata": None}, "/metadata"),
    ({"metadata": 1}, "/metadata"),
]


@pytest.mark.parametrize(
    ("fields", "pointer"), WRONG_DOCUMENTS, ids=[repr(f)[:40] for f, _ in WRONG_DOCUMENTS]
)
def test_a_wrong_field_of_a_document_is_named(
    api: Api, stored: Stored, fields: dict[str, Any], pointer: str
) -> None:
    """For a new document, and for a change of one, of which nothing is kept."""
    response = api.post(DOCUMENTS, {"title": "t", "content": "c", **fields})
    problem = assert_problem(response, 400, "invalid-request")
    assert [error["pointer"] for error in problem["errors"]] == [pointer]
    assert not any(stored())
    document = api.upload()
    path = f"{DOCUMENTS}{document['id']}/"
    assert_problem(api.patch(path, fields), 400, "invalid-request")
    assert_problem(api.put(path, {"title": "t", "content": "c", **fields}), 400, "invalid-request")
    assert api.get(path).json() == document


@pytest.mark.parametrize(
    "text",
    ["\\u0000", "\\\\u0000", "C:\\u0000.txt", '\\"\\u0000', "\\", "\\\\", "é\u2028😀", "'; DROP TABLE x --"],
)
def test_text_comes_back_as_it_was_sent(api: Api, text: str) -> None:
    """Even text that looks like an escape of what cannot be stored."""
    workflow_id = api.submit(input={"text": text, text: 1}, metadata={"note": text})
    assert api.get(f"{WORKFLOWS}{workflow_id}/").json()["metadata"] == {"note": text}
    document = api.upload(title=f"x{text}x", content=f"x{text}x", metadata={"note": text})
    read = api.get(f"{DOCUMENTS}{document['id']}/").json()
    assert (read["title"], read["content"], read["metadata"]) == (f"x{text}x", f"x{text}x", {"note": text})


def test_numbers_come_back_as_they_were_sent(api: Api) -> None:
    """The largest and the smallest that JSON libraries agree on."""
    numbers = {"large": 2**53, "u64": 2**64 - 1, "negative": -(2**63), "tiny": 5e-324, "half": 0.5}
    document = api.upload(metadata=numbers)
    assert json.loads(api.get(f"{DOCUMENTS}{document['id']}/").content)["metadata"] == numbers
    api.submit(input=numbers)


def test_every_error_in_the_input_is_pointed_at(api: Api, stored: Stored) -> None:
    """The input is checked against its definition's schema, and what is wrong is not repeated."""
    secret = "x" * 3_000
    body = {"type": "answer_question", "input": {"question": secret, "extra": 1}}
    problem = assert_problem(api.post(WORKFLOWS, body), 422, "invalid-input")
    assert {error["pointer"] for error in problem["errors"]} == {"/input", "/input/question"}
    assert secret not in json.dumps(problem)
    body = {"type": "answer_question", "input": {"question": True}}
    problem = assert_problem(api.post(WORKFLOWS, body), 422, "invalid-input")
    assert problem["errors"] == [{"pointer": "/input/question", "detail": "must be of type string"}]
    assert not any(stored())


@pytest.mark.parametrize(
    "number", ["2.916787398245897e+16", "9007199254740993", "-9223372036854775808", "0.1"]
)
def test_a_number_comes_back_as_it_was_sent(api: Api, number: str) -> None:
    """Also a large one with an exponent, which the database writes out as a whole number."""
    body = b'{"type": "one_noop", "input": {}, "metadata": {"a": %s}}' % number.encode()
    workflow_id = api.send("POST", WORKFLOWS, body).json()["workflow_id"]
    read = api.get(f"{WORKFLOWS}{workflow_id}/")
    assert read.json()["metadata"] == {"a": json.loads(number)}
