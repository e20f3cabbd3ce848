"""Once a change of the knowledge base is stored, no answer from before it is given, however it is asked for."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.db import connection

from apps.embedder import embedder
from apps.gateway.models import Call
from apps.knowledge.services import document_create, document_update
from apps.tenants.models import Tenant
from apps.workflows.models import Workflow
from tests.integration.caching.conftest import KeepingWorker, Submit
from tests.unit.conftest import RunningSimulator

pytestmark = pytest.mark.usefixtures("embedder")

CHANGES = 12
PHRASINGS = (
    "What is the code of the cellar door?",
    "What is  the code of the cellar door?",
    "What's the code of the cellar door?",
    "Which code does the cellar door have?",
)


@contextmanager
def always_working(worker: KeepingWorker) -> Iterator[None]:
    """Whatever is submitted is worked on at once, by a thread of its own."""
    stopped = threading.Event()

    def work() -> None:
        try:
            while not stopped.is_set():
                worker.work()
                stopped.wait(0.005)
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def code_in(workflow: Workflow) -> int:
    found = re.search(r"cellar door is (\d+)", workflow.result["answer"])
    assert found is not None, workflow.result
    return int(found[1])


def test_no_answer_is_older_than_what_stood_there_when_it_was_asked_for(
    tenant: Tenant, worker: KeepingWorker, submit: Submit, simulator: RunningSimulator
) -> None:
    """While questions come in all the time, some of them answered from what is kept, the document changes."""
    document = document_create(
        tenant=tenant, title="Doors", content="The code of the cellar door is 0.", content_type="text/plain"
    )
    asked: list[tuple[int, Workflow]] = []
    with always_working(worker):
        for code in range(1, CHANGES + 1):
            document_update(document, {"content": f"The code of the cellar door is {code}."})
            for number in range(6):
                question = PHRASINGS[(code + number) % len(PHRASINGS)]
                asked.append((code, submit("answer_question", {"question": question})))
        for _, workflow in asked:
            _wait_for(workflow)
    assert [code_in(workflow) >= code for code, workflow in asked] == [True] * len(asked)
    served = Workflow.objects.exclude(cache=None).count() + Call.objects.exclude(cache=None).count()
    assert served >= CHANGES  # otherwise this has shown nothing


def _wait_for(workflow: Workflow) -> None:
    for _ in range(3000):
        workflow.refresh_from_db()
        if workflow.finished_at is not None:
            assert workflow.status == "succeeded", workflow.error
            return
        threading.Event().wait(0.01)
    raise AssertionError("it has not ended")


@pytest.fixture
def held_tables(transactional_db: None) -> Iterator[Callable[[], None]]:
    """Locks the tables of kept answers, as somebody would who rebuilds them, until the test ends."""
    import psycopg
    from django.conf import settings

    database = settings.DATABASES["default"]
    told = {"host": database["HOST"], "port": database["PORT"], "user": database["USER"]}
    told |= {"password": database["PASSWORD"], "dbname": connection.settings_dict["NAME"]}
    with psycopg.connect(**{name: value for name, value in told.items() if value}) as other:
        yield (
            lambda: (
                other.execute("LOCK gateway_cacheentry, gateway_cachevector IN ACCESS EXCLUSIVE MODE")
                and None
            )
        )
        other.rollback()


def test_tables_that_are_locked_hold_nothing_up(
    worker: KeepingWorker, submit: Submit, held_tables: Callable[[], None], settings: object
) -> None:
    """Neither the search nor the keeping: the call is made, and its step ends."""
    settings.CACHE_PATIENCE_SECONDS = 0.05  # type: ignore[attr-defined]
    embedder().embed_question("One that is asked first, while nothing is in haste.")
    held_tables()
    workflow = submit("one_question", {"question": "What is locked?"})
    worker.work()
    workflow.refresh_from_db()
    assert workflow.status == "succeeded"
    assert (workflow.finished_at - workflow.created_at).total_seconds() < 2
