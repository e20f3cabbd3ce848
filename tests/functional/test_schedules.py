"""A schedule fires on the real beat, through a real worker."""

from __future__ import annotations

from tests.product import Product, eventually

SCHEDULES = "/api/v1/schedules/"


def test_a_schedule_starts_runs_at_its_times_until_it_is_disabled(product: Product) -> None:
    """One for each time; beat notices it without a restart."""
    body = {"name": "often", "type": "one_noop", "input": {}, "every_seconds": 2}
    made = product.http.post(SCHEDULES, json=body)
    assert made.status_code == 201, made.text
    url = f"{SCHEDULES}{made.json()['id']}/"
    listed = f"/api/v1/workflows/?schedule={made.json()['id']}"
    eventually(lambda: len(product.http.get(listed).json()["results"]) >= 2, 30, "no runs are started")
    assert product.http.patch(url, json={"is_enabled": False}).status_code == 200
    runs = product.http.get(listed).json()["results"]
    started = product.query(
        "SELECT count(*), count(DISTINCT date_trunc('second', created_at)) FROM workflows_workflow "
        "WHERE schedule_id = %s",
        made.json()["id"],
    )
    assert {product.finished(run["id"])["status"] for run in runs} == {"succeeded"}
    assert started[0][0] == started[0][1], "a time was served twice"
    assert product.http.delete(url).status_code == 204
