"""A tenant's documents, as text and as files, found by their words and by their meaning, on real processes."""

from __future__ import annotations

import os
import signal

from tests.pdfs import pdf_of
from tests.product import Product, eventually

DOCUMENTS = "/api/v1/documents/"
HERDS = "# Herds\n\nElephants roam the savannah together, led by the oldest female."
FAUCET = "A leaky faucet needs a new washer: close the valve, unscrew the handle, replace the washer."


def upload(product: Product, data: bytes, name: str, content_type: str) -> str:
    """Uploads a file and returns the document's id once its passages have their vectors."""
    response = product.http.post(DOCUMENTS, files={"file": (name, data, content_type)})
    assert response.status_code == 201, response.text
    product.embedded(response.json()["id"])
    return str(response.json()["id"])


def search(product: Product, question: str) -> tuple[list[str], list[str]]:
    """The documents that are found, and how the search fell short."""
    response = product.http.post("/api/v1/knowledge/search/", json={"question": question})
    assert response.status_code == 200, response.text
    found = response.json()
    return (
        [passage["document_id"] for passage in found["passages"]],
        [degradation["code"] for degradation in found["degradations"]],
    )


def test_a_question_in_other_words_is_answered_from_a_pdf(product: Product) -> None:
    """Hardly a word of it stands in the file; its vectors are made in the background."""
    document_id = upload(product, pdf_of(FAUCET), "plumbing.pdf", "application/pdf")
    upload(product, HERDS.encode(), "herds.md", "text/markdown")
    found, degradations = search(product, "What helps against a tap that drips?")
    assert found[0] == document_id
    assert degradations == []
    workflow_id = product.submit("answer_question", {"question": "What helps against a tap that drips?"})
    workflow = product.finished(workflow_id)
    assert workflow["status"] == "succeeded", workflow
    assert workflow["degradations"] == []
    assert workflow["result"]["sources"][0]["document_id"] == document_id


def test_answers_go_on_without_the_embedder_and_say_what_that_means(product: Product) -> None:
    """Killed, it is started again by itself; stopped, full text answers alone."""
    document_id = product.document("Herds", HERDS)
    before = product.stack.process_ids()["embedder"]
    os.kill(before, signal.SIGKILL)
    eventually(
        lambda: product.stack.process_ids().get("embedder") not in (None, before), 20, "no new embedder"
    )
    eventually(product.is_ready, 20, "it is not ready again")
    assert search(product, "Which animals stay in families?")[1] == []
    product.stack.stop("embedder")
    try:
        found, degradations = search(product, "Where do elephants roam?")
        assert document_id in found
        assert degradations == ["vectors_unavailable"]
        workflow = product.finished(
            product.submit("answer_question", {"question": "Where do elephants roam?"})
        )
        assert workflow["status"] == "succeeded"
        assert [item["code"] for item in workflow["degradations"]] == ["vectors_unavailable"]
        ready = product.http.get("/readyz").json()
        assert ready["degraded"] == ["embedder: passages are found by full text alone"]
    finally:
        product.stack.start(["embedder"])
        eventually(product.is_ready, 20, "it is not ready again")


def test_an_upload_that_is_too_large_is_refused_with_its_limit(product: Product) -> None:
    """The answer arrives although the client is still sending, whether it says how much it sends or not."""
    ten = b"x" * (10 * 1024 * 1024)
    before = product.http.get("/api/v1/knowledge/").json()
    for body in (
        {"files": {"file": ("big.txt", ten, "text/plain")}},
        {"content": iter([ten[:65_536]] * 160)},
    ):
        response = product.http.post(DOCUMENTS, **body)
        assert response.status_code == 413, response.text
        assert "8 MiB" in response.json()["detail"]
    assert product.http.get("/api/v1/knowledge/").json() == before


def test_a_pdf_without_text_is_refused_and_says_why(product: Product) -> None:
    """It is a scan; nothing is stored of it."""
    response = product.http.post(
        DOCUMENTS, files={"file": ("scan.pdf", pdf_of("", "", ""), "application/pdf")}
    )
    assert response.status_code == 422
    assert response.json()["type"] == "urn:agentplatform:problem:pdf-without-text"
    assert "3 pages and no text" in response.json()["detail"]
