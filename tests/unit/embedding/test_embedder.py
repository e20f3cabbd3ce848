"""The embedder, as a process with its real model, seen through its client."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import psutil
import pytest

from agentplatform.embedding.batching import MAX_BATCH_TOKENS, MAX_WAITING_TEXTS, MicroBatcher, TooManyWaiting
from agentplatform.embedding.client import BYPASS_SECONDS, EmbedderClient, EmbedderUnavailable
from agentplatform.embedding.model import EmbeddingModel
from agentplatform.embedding.vectors import DIMENSIONS, MAX_TOKENS, Purpose, Vector
from tests.embedder import running_embedder, start_embedder

LONG = "The dispatcher admits the steps of every tenant in the order of their virtual time. " * 30


@pytest.fixture(scope="module")
def socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The socket of an embedder that runs."""
    path = tmp_path_factory.mktemp("e") / "s"
    with running_embedder(path):
        yield path


@pytest.fixture(scope="module")
def client(socket: Path) -> EmbedderClient:
    return EmbedderClient(str(socket))


@pytest.fixture(scope="module")
def model() -> EmbeddingModel:
    """The model in this process, to see what the batcher does with it."""
    return EmbeddingModel()


def cosine(one: Vector, other: Vector) -> float:
    """Of two unit vectors."""
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_texts_of_like_meaning_are_near_each_other(client: EmbedderClient) -> None:
    """Without a word in common, and nearer than texts about something else."""
    question = client.embed_question("How do I swap my password for another one?")
    near, far = client.embed_passages(["Changing credentials.", "Elephants live in herds."])
    assert cosine(question, near) > cosine(question, far) + 0.2
    assert len(question) == DIMENSIONS
    assert cosine(question, question) == pytest.approx(1, abs=1e-5)


def test_a_text_has_the_same_vector_whatever_it_is_embedded_with(client: EmbedderClient) -> None:
    """Padding to the longest of a batch changes nothing."""
    alone = client.embed_question("a question")
    together = client.embed_passages(["a question", "a much longer text " * 5])[0]
    assert cosine(alone, together) == pytest.approx(1, abs=1e-5)


def test_what_is_beyond_the_models_window_counts_nothing(client: EmbedderClient) -> None:
    """A text of any length has a vector."""
    cut, whole = client.embed_passages([LONG, LONG + "Elephants. " * 100_000])
    assert cosine(cut, whole) == pytest.approx(1, abs=1e-5)
    assert len(client.embed_question("")) == DIMENSIONS


def test_many_callers_are_answered_each_its_own(client: EmbedderClient) -> None:
    """From any number of threads, through one model."""
    texts = [f"number {number}" for number in range(64)]
    with ThreadPoolExecutor(16) as threads:
        together = list(threads.map(client.embed_question, texts))
    for text, vector in zip(texts[::16], together[::16], strict=True):
        assert cosine(vector, client.embed_question(text)) == pytest.approx(1, abs=1e-5)


def test_a_question_does_not_wait_for_all_passages(client: EmbedderClient) -> None:
    """It goes before those that wait, after the one batch that runs."""
    with ThreadPoolExecutor(1) as threads:
        bulk = threads.submit(client.embed_passages, [LONG] * 64)
        time.sleep(0.2)
        started = time.monotonic()
        client.embed_question("a question")
        assert time.monotonic() - started < 1
        assert not bulk.done()
        bulk.result()


def test_a_request_that_makes_no_sense_is_refused(socket: Path) -> None:
    """With what is wrong with it."""
    with httpx2.Client(transport=httpx2.HTTPTransport(uds=str(socket)), base_url="http://e") as http:
        for body in (b"", b"{", b"[]", b"{}", b'{"texts": []}', b'{"texts": [1]}', b'{"texts": ["a"] }'[:-2]):
            assert http.post("/embed", content=body).status_code == 400
        assert http.post("/embed", json={"texts": ["a"], "purpose": "fun"}).status_code == 400
        assert "256" in http.post("/embed", json={"texts": ["a"] * 257}).json()["error"]


def test_without_an_embedder_nobody_waits(tmp_path: Path) -> None:
    """Each is refused at once; it is found as soon as it is there."""
    path = tmp_path / "s"
    client = EmbedderClient(str(path))
    started = time.monotonic()
    for _ in range(100):
        with pytest.raises(EmbedderUnavailable):
            client.embed_question("x")
    assert time.monotonic() - started < 1
    assert not client.answers()
    with running_embedder(path):
        assert len(client.embed_question("x")) == DIMENSIONS


def test_an_embedder_that_hangs_is_waited_for_once(tmp_path: Path) -> None:
    """Then questions pass it by for a moment, and ask again."""
    path = tmp_path / "s"
    client = EmbedderClient(str(path))
    with running_embedder(path) as process:
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(EmbedderUnavailable):
            client.embed_question("x")
        started = time.monotonic()
        with pytest.raises(EmbedderUnavailable):
            client.embed_question("x")
        assert time.monotonic() - started < 0.1
        process.send_signal(signal.SIGCONT)
        time.sleep(BYPASS_SECONDS)
        assert len(client.embed_question("x")) == DIMENSIONS


def test_a_killed_embedder_is_followed_by_one_on_the_same_socket(tmp_path: Path) -> None:
    """What it left does not stand in the way; a client goes on."""
    path = tmp_path / "s"
    client = EmbedderClient(str(path))
    first = start_embedder(path)
    client.embed_question("x")
    first.kill()
    first.wait(10)
    with pytest.raises(EmbedderUnavailable):
        client.embed_passages(["x"])
    with running_embedder(path):
        assert len(client.embed_passages(["x"])[0]) == DIMENSIONS


def test_the_embedder_stays_small_under_load(tmp_path: Path) -> None:
    """However much is asked at once: the longest texts are embedded one by one."""
    path = tmp_path / "s"
    with running_embedder(path) as process:
        client = EmbedderClient(str(path))
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(client.embed_passages, [[LONG] * 8] * 8))
        assert psutil.Process(process.pid).memory_info().rss < 400 * 1024**2


def test_its_callers_load_no_model() -> None:
    """Workers and web import the client alone."""
    script = (
        "import sys, agentplatform.embedding.client; "
        "sys.exit(bool({'numpy', 'onnxruntime', 'tokenizers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


class Watched:
    """The model, with a note of every batch it is given."""

    def __init__(self, model: EmbeddingModel) -> None:
        self._model = model
        self.batches: list[list[int]] = []
        self.tokenize = model.tokenize

    def embed(self, encodings: list) -> object:  # type: ignore[type-arg]
        self.batches.append([len(encoding.ids) for encoding in encodings])
        return self._model.embed(encodings)


def test_what_waits_together_is_embedded_together(model: EmbeddingModel) -> None:
    """In batches whose padded size is bounded."""
    watched = Watched(model)
    batcher = MicroBatcher(watched)  # type: ignore[arg-type]

    async def ask() -> None:
        short = [batcher.embed([f"question {number}"], Purpose.QUESTION) for number in range(40)]
        await asyncio.gather(batcher.embed([LONG] * 3, Purpose.PASSAGE), *short)

    asyncio.run(ask())
    assert len(watched.batches) < 12
    assert sum(map(len, watched.batches)) == 43
    assert all(max(batch) * len(batch) <= max(MAX_BATCH_TOKENS, MAX_TOKENS) for batch in watched.batches)


def test_more_than_can_be_done_soon_is_refused(model: EmbeddingModel) -> None:
    """At once, and what waits already is not lost."""
    batcher = MicroBatcher(model)

    async def ask() -> int:
        first = asyncio.create_task(batcher.embed(["x"] * 8, Purpose.PASSAGE))
        await asyncio.sleep(0)
        with pytest.raises(TooManyWaiting):
            await batcher.embed(["x"] * (MAX_WAITING_TEXTS + 1), Purpose.PASSAGE)
        return len(await first)

    assert asyncio.run(ask()) == 8


def test_the_texts_of_a_caller_that_has_gone_are_not_embedded(model: EmbeddingModel) -> None:
    """Nobody waits for them."""
    watched = Watched(model)
    batcher = MicroBatcher(watched)  # type: ignore[arg-type]

    async def ask() -> None:
        gone = asyncio.create_task(batcher.embed([LONG] * 20, Purpose.PASSAGE))
        while not watched.batches:
            await asyncio.sleep(0.001)
        gone.cancel()
        await batcher.embed(["still here"], Purpose.QUESTION)
        await asyncio.sleep(0.2)

    asyncio.run(ask())
    assert sum(map(len, watched.batches)) <= 4


def test_passages_are_embedded_though_every_question_before_them_was_given_up(model: EmbeddingModel) -> None:
    """Those who asked them have gone while the run before lasted."""
    watched = Watched(model)
    batcher = MicroBatcher(watched)  # type: ignore[arg-type]

    async def ask() -> int:
        first = asyncio.create_task(batcher.embed([LONG] * 2, Purpose.PASSAGE))
        while not watched.batches:
            await asyncio.sleep(0.001)
        passages = asyncio.create_task(batcher.embed([LONG] * 2, Purpose.PASSAGE))
        questions = [asyncio.create_task(batcher.embed(["gone"], Purpose.QUESTION)) for _ in range(3)]
        await asyncio.sleep(0.01)
        for question in questions:
            question.cancel()
        await first
        return len(await asyncio.wait_for(passages, 10))

    assert asyncio.run(ask()) == 2


def test_who_is_in_a_hurry_is_not_waited_for_by_the_others(tmp_path: Path) -> None:
    """A question that had too little time says nothing of the embedder to those who have more."""
    path = tmp_path / "s"
    client = EmbedderClient(str(path))
    with running_embedder(path) as process:
        process.send_signal(signal.SIGSTOP)
        started = time.monotonic()
        for _ in range(2):
            with pytest.raises(EmbedderUnavailable):
                client.embed_question("x", timeout_seconds=0.05)
        assert time.monotonic() - started < 0.2
        process.send_signal(signal.SIGCONT)
        assert len(client.embed_question("x")) == DIMENSIONS
