"""manage.py at a terminal: tenants, operators and submissions, on real processes."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from config.stack.layout import CHECKOUT
from tests.product import Product

KEY = re.compile(r"ap_[\w-]{43}")
UUID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")


def manage(product: Product, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a command as a person would, with what it printed and its exit code."""
    return subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=CHECKOUT,
        env=product.stack.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


def test_a_tenant_created_at_a_terminal_works_with_the_key_it_printed(product: Product) -> None:
    """Once: a second tenant of that name is refused."""
    done = manage(product, "tenant", "create", "initech", "--tier", "free")
    assert done.returncode == 0, done.stderr
    (key,) = KEY.findall(done.stdout)
    response = httpx2.get(
        f"{product.stack.base_url}/api/v1/workflows/", headers={"Authorization": f"Bearer {key}"}
    )
    assert response.status_code == 200
    again = manage(product, "tenant", "create", "initech", "--tier", "free")
    assert again.returncode == 1
    assert "exists already" in again.stderr


def test_an_operators_key_is_no_tenants(product: Product) -> None:
    """It is printed once, and may not submit in a tenant's name."""
    (key,) = KEY.findall(manage(product, "operator", "create", "ann").stdout)
    response = httpx2.post(
        f"{product.stack.base_url}/api/v1/workflows/",
        headers={"Authorization": f"Bearer {key}"},
        json={"type": "one_noop", "input": {}},
    )
    assert response.status_code == 403


def test_a_submission_prints_its_id_and_is_run(product: Product) -> None:
    """Nothing else, so that a script can take it."""
    done = manage(product, "submit", "ten_noops", "--input", "{}", "--tenant", "demo")
    assert done.returncode == 0, done.stderr
    assert UUID.match(done.stdout.strip())
    assert product.finished(done.stdout.strip())["status"] == "succeeded"


def test_followed_away_from_a_terminal_it_is_plain_lines(product: Product) -> None:
    """A line for every change, then the answer, its sources and its cost; no control characters."""
    content = "# Pumps\n\nThe blue pump is primed by turning its valve twice.\n"
    assert (
        product.http.post("/api/v1/documents/", json={"title": "Pumps", "content": content}).status_code
        == 201
    )
    question = json.dumps({"question": "How is the blue pump primed?"})
    done = manage(product, "submit", "answer_question", "--input", question, "--tenant", "demo", "--follow")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert UUID.match(lines[0])
    assert any("3/3 succeeded" in line for line in lines)
    assert "turning its valve twice" in done.stdout
    assert "source: Pumps" in done.stdout
    cost = product.workflow(lines[0])["cost_usd_micros"]
    assert cost > 0
    assert lines[-1] == f"  cost: ${cost / 1_000_000:.6f}"
    assert "\x1b" not in done.stdout


def test_followed_at_a_terminal_it_is_a_bar(product: Product) -> None:
    """As long as somebody looks at it."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "manage.py", "submit", "ten_noops", "--input", "{}", "--tenant", "demo", "--follow"],
        cwd=CHECKOUT,
        env={**product.stack.environment, "TERM": "xterm-256color", "COLUMNS": "120"},
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:
        pass  # the other end is closed
    assert process.wait(30) == 0
    text = shown.decode()
    assert "\x1b[" in text
    assert "━" in text
    assert "10/10" in text
    assert '"done": true' in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


@pytest.mark.parametrize(
    ("type_", "status", "told"),
    [("fails_for_good", "failed", "This step fails on purpose."), ("skips", "partial", "was skipped")],
)
def test_what_did_not_succeed_ends_with_exit_code_one(
    product: Product, type_: str, status: str, told: str
) -> None:
    """And says why."""
    done = manage(product, "submit", type_, "--input", "{}", "--tenant", "demo", "--follow")
    assert done.returncode == 1
    assert status in done.stdout
    assert told in done.stdout


def test_an_input_comes_from_a_file_or_from_standard_input(product: Product, tmp_path: Path) -> None:
    """`@file` and `-`."""
    path = tmp_path / "input.json"
    path.write_text('{"count": 2}')
    command = ("submit", "fan_out", "--tenant", "demo", "--follow", "--input")
    assert '"sum": 2' in manage(product, *command, f"@{path}").stdout
    assert '"sum": 6' in manage(product, *command, "-", input='{"count": 3}').stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nope", "--input", "{}"), "There is no definition 'nope'"),
        (("answer_question", "--input", "{}"), "'question' is a required property"),
        (("answer_question", "--input", "{bad"), "The input is not valid JSON"),
        (("answer_question", "--input", "[1]"), "The input must be a JSON object"),
        (("answer_question", "--input", "@/nowhere/input.json"), "cannot be read"),
        (("ten_noops", "--input", "{}", "--priority", "urgent"), "/priority"),
        (("ten_noops", "--input", "{}", "--deadline-seconds", "0"), "/deadline_seconds"),
        (("ten_noops", "--input", "{}", "--max-cost-usd", "-1"), "/max_cost_usd"),
        (("ten_noops", "--input", "{}", "--tenant", "nobody"), "there is no tenant 'nobody'"),
    ],
)
def test_what_cannot_be_run_is_explained_and_not_stored(
    product: Product, words: tuple[str, ...], told: str
) -> None:
    """As the API would: what is wrong, and where; no traceback."""
    before = product.query("SELECT count(*) FROM workflows_workflow")
    done = manage(product, "submit", *words, *(() if "--tenant" in words else ("--tenant", "demo")))
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert product.query("SELECT count(*) FROM workflows_workflow") == before


def test_nothing_is_submitted_for_a_suspended_tenant(product: Product) -> None:
    """It says whom to ask."""
    manage(product, "tenant", "create", "unpaid")
    product.query("UPDATE tenants_tenant SET status = 'suspended' WHERE name = 'unpaid' RETURNING id")
    done = manage(product, "submit", "ten_noops", "--input", "{}", "--tenant", "unpaid")
    assert done.returncode == 1
    assert "is suspended" in done.stderr
