"""A workflow whose model uses tools, over REST, on real processes."""

from __future__ import annotations

from tests.product import Product, broken_invariants
from tests.receiver import receiving

SCHEMA = {"type": "object", "properties": {"ship": {"type": "string"}}, "required": ["ship"]}
HOOK = {"name": "berth_lookup", "description": "Looks up which berth a ship has.", "input_schema": SCHEMA}


def test_a_model_uses_tools_and_the_run_tells_which(product: Product) -> None:
    """The calculator, and a webhook of the tenant's own, which is signed and called once."""
    with receiving() as receiver:
        receiver.answer(200, b'{"berth": "B7"}')
        response = product.http.post("/api/v1/tools/webhooks/", json={**HOOK, "url": receiver.url})
        assert response.status_code == 201, response.text
        made = response.json()
        listed = product.http.get("/api/v1/tools/").json()["results"]
        assert {"calculator", "webhook:berth_lookup"} <= {one["name"] for one in listed}
        sums = product.submit("ask_with_tools", {"question": "What is 17 * 23 + 4?"})
        ship = product.submit("ask_with_tools", {"question": "Which berth does the ship Aurora have?"})
        answered = product.finished(sums)
        assert "395" in answered["result"]["answer"]
        (step,) = answered["steps"]
        assert [(one["tool"], one["status"]) for one in step["tool_calls"]] == [("calculator", "succeeded")]
        assert "B7" in product.finished(ship)["result"]["answer"]
        (request,) = receiver.requests
        assert request.verified(made["secret"])["data"]["tool"] == "berth_lookup"
        product.http.delete(f"/api/v1/tools/webhooks/{made['id']}/")
    assert broken_invariants(product) == {}
