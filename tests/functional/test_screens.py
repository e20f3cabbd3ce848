"""The admin as a person sees it, in headless Chromium: figures, a budget that is raised, a letter, a notice."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, StorageState, expect, sync_playwright

from tests.product import Product, eventually

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
TIMEOUT_MS = 15_000
TENANT = "on screen"
ENOUGH = 1_000_000_000

# Whether anything is drawn: a pixel that is not transparent.
DRAWN = """canvas => canvas.width > 0 && canvas.getContext('2d')
    .getImageData(0, 0, canvas.width, canvas.height).data.some((value, index) => index % 4 === 3 && value > 0)"""

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no `chromium` on the PATH (docs/testing.md says how to install it)"
)


# For this module alone: while it is there Django would take every query of this thread for one of a coroutine.
@pytest.fixture(scope="module")
def _chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def _signed_in(_chromium: Browser, _product: Product) -> StorageState:
    """The cookies of a person who has signed in as `admin`, by the form."""
    with _chromium.new_context(base_url=_product.stack.base_url) as context:
        page = context.new_page()
        page.goto("/admin/")
        page.get_by_label("Username").fill("admin")
        page.get_by_label("Password").fill(_product.admin_password)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url("**/admin/")
        return context.storage_state()


@pytest.fixture
def page(
    _chromium: Browser,
    _signed_in: StorageState,
    product: Product,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> Iterator[Page]:
    """A page of a browser that is signed in. No page may be in error; of a failure there is a picture."""
    context = _chromium.new_context(
        base_url=product.stack.base_url, storage_state=_signed_in, viewport={"width": 1440, "height": 1000}
    )
    context.set_default_timeout(TIMEOUT_MS)
    errors: list[str] = []
    context.on("weberror", lambda error: errors.append(f"{error.error}"))
    context.on("console", lambda told: errors.append(told.text) if told.type == "error" else None)
    page = context.new_page()
    failed_before = request.session.testsfailed
    yield page
    if request.session.testsfailed > failed_before:
        page.screenshot(path=tmp_path / "screen.png", full_page=True)
    context.close()
    assert errors == []


@pytest.fixture(scope="module")
def _tenant_key(_product: Product) -> str:
    """The key of a tenant with a budget of its own, both called TENANT."""
    printed = _product.manage("tenant", "create", TENANT)
    _product.query(
        """INSERT INTO budgets_budget (
               name, scope, tenant_id, task_type, daily_usd_micros, time_zone, is_enabled, is_dry_run,
               alert_percent, degrade_percent, throttle_percent, shutoff_percent, throttle_to_percent,
               rearm_points, generation)
           SELECT name, 'tenant', id, '', 1, 'UTC', false, false, 80, 90, 95, 100, 25, 5, 1
           FROM tenants_tenant WHERE name = %s RETURNING id""",
        TENANT,
    )
    return f"ap_{printed.split('ap_')[1].split()[0]}"


@pytest.fixture
def poor(product: Product, _tenant_key: str) -> Iterator[Product]:
    """The product as a tenant uses it whose budget is a micro-dollar a day."""

    def let(usd_micros: int) -> None:
        product.query(
            "UPDATE budgets_budget SET daily_usd_micros = %s, is_enabled = true WHERE name = %s RETURNING id",
            usd_micros,
            TENANT,
        )

    mine = product.http.headers["Authorization"]
    product.http.headers["Authorization"] = f"Bearer {_tenant_key}"
    let(1)
    yield product
    # What is still held would go on in the midst of the next test.
    for held in product.http.get("/api/v1/workflows/?status=held").json()["results"]:
        product.http.post(f"/api/v1/workflows/{held['id']}/cancel/").raise_for_status()
    let(ENOUGH)
    product.http.headers["Authorization"] = mine


def field(page: Page, label: str) -> Locator:
    """The row of a field on the page of one object."""
    return page.locator(".field-row").filter(has=page.get_by_text(label, exact=True))


def open_row(page: Page, path: str, text: str) -> None:
    """Opens a list, and from it the first object that this text leads to."""
    page.goto(path)
    page.locator("#result_list").get_by_role("link", name=text).first.click()
    page.wait_for_url("**/change/**")


def press(page: Page, name: str) -> None:
    """Presses one of the buttons of an object's page, and confirms."""
    page.get_by_role("link", name=re.compile(f"{name}$")).click()
    page.locator("form.console-operation").get_by_role("button", name=name).click()


def test_the_front_page_shows_what_is_spent_in_charts_and_tables(page: Page, product: Product) -> None:
    """Every chart is drawn, and the tables lead on to the costs of a tenant."""
    product.finished(product.submit("one_deep_ask", {"calls": 2}, priority="interactive"))

    def is_there() -> bool:
        page.goto("/admin/")
        return page.get_by_role("link", name="one_deep_ask").count() > 0

    eventually(is_there, 15, "what was spent is not shown")
    charts = page.locator("canvas")
    expect(charts).to_have_count(2)
    for chart in charts.all():
        eventually(lambda chart=chart: chart.evaluate(DRAWN), 5, "a chart is not drawn")
    page.get_by_role("link", name="demo", exact=True).first.click()
    page.wait_for_url("**/costs/**")
    expect(page.get_by_text("one_deep_ask").first).to_be_visible()


def test_a_held_workflow_goes_on_once_its_budget_is_raised(page: Page, poor: Product) -> None:
    """Its own page says so, without anybody touching it."""
    workflow = poor.submit("one_ask", {"calls": 1}, priority="interactive")
    eventually(lambda: poor.workflow(workflow)["status"] == "held", 15, "it is not held")
    its_page = f"/admin/workflows/workflow/{workflow}/change/"
    page.goto(its_page)
    expect(field(page, "Status")).to_contain_text("held")

    open_row(page, "/admin/budgets/budget/", TENANT)
    cap = page.get_by_label("Daily cap, $")
    expect(cap).to_have_value(re.compile(r"0\.000001"))
    cap.fill("2.50")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was changed successfully")).to_be_visible()
    expect(page.locator("#result_list")).to_contain_text("of $2.50")

    def has_succeeded() -> bool:
        page.goto(its_page)
        return "succeeded" in field(page, "Status").inner_text().lower()

    eventually(has_succeeded, 15, "it did not go on")
    expect(page.get_by_text("budget_held").first).to_be_visible()


def test_a_dead_letter_is_requeued_and_its_workflow_succeeds(page: Page, product: Product) -> None:
    """By the button on its page; the letter tells who did it."""
    product.fault(status=400, count=1)
    workflow = product.submit("one_ask", {"calls": 1}, priority="interactive")
    assert product.finished(workflow)["status"] == "failed"
    open_row(page, f"/admin/workflows/deadletter/?q={workflow}", "2")
    expect(field(page, "Status")).to_contain_text("open")
    press(page, "Requeue")
    expect(page.get_by_text("1 requeued.")).to_be_visible()
    expect(field(page, "Status")).to_contain_text("requeued")
    expect(field(page, "Operation")).to_contain_text("admin")
    assert product.finished(workflow)["status"] == "succeeded"


def test_a_notice_is_acknowledged(page: Page, poor: Product) -> None:
    """It is no longer among those that wait for somebody."""
    poor.submit("one_ask", {"calls": 1}, priority="interactive")
    waiting = "/admin/notifications/notice/?state=unread"
    title = f"Budget '{TENANT}': shutoff"

    def is_told() -> bool:
        page.goto(waiting)
        return page.get_by_role("link", name=title).count() > 0

    eventually(is_told, 15, "nobody was told")
    open_row(page, waiting, title)
    notice = page.url
    press(page, "Acknowledge")
    expect(page.get_by_text("Acknowledged: 1.")).to_be_visible()
    expect(field(page, "Acknowledged by")).to_contain_text("admin")
    page.goto(waiting)
    assert page.locator(f'a[href="{notice.removeprefix(poor.stack.base_url)}"]').count() == 0
