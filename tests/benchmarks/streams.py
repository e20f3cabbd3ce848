"""What thousands of open event streams cost the web process, and that an event reaches them all."""

from __future__ import annotations

import asyncio
import resource
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from config.stack.stack import Stack
from tests.benchmarks.results import Result

STREAMS = 2_000
WORKFLOWS = 200
IDLE_SECONDS = 20.0
"""Longer than a stream's keep-alive, so that what keeps it alive is counted."""


@dataclass(frozen=True, slots=True)
class StreamCost:
    """What `streams` open streams added to the web process, and how it told them of an event."""

    streams: int
    rss_bytes: int
    threads: int
    idle_cpu_share: float
    told_after_seconds: Sequence[float]
    """From a workflow's cancellation to each of its streams saying so; one that never says it is not in it."""


def measure(stack: Stack, key: str) -> list[Result]:
    """Opens STREAMS streams of workflows that wait, and cancels the workflows."""
    cost = measure_streams(
        stack.base_url, stack.pid("web"), key, streams=STREAMS, workflows=WORKFLOWS, idle_seconds=IDLE_SECONDS
    )
    name = f"{cost.streams:,} open event streams"
    return [
        Result(f"{name}, memory of the web process", cost.rss_bytes / 2**20, "MB", goal="< 200"),
        Result(f"{name}, threads more", cost.threads, "threads", goal="< 10"),
        Result(f"{name}, nothing happens", 100 * cost.idle_cpu_share, "% of a core"),
        Result(f"{name}, told of an end", len(cost.told_after_seconds), "streams", goal=f"{cost.streams}"),
        Result(f"{name}, told after, p50", 1000 * statistics.median(cost.told_after_seconds), "ms"),
        Result(f"{name}, told after, the last", 1000 * max(cost.told_after_seconds), "ms"),
    ]


def measure_streams(
    base_url: str, web_pid: int, key: str, *, streams: int, workflows: int, idle_seconds: float
) -> StreamCost:
    """The cost of open streams of workflows that wait, spread evenly, until each workflow is cancelled."""
    _raise_open_files_limit(streams + 200)
    host, port = base_url.removeprefix("http://").split(":")
    return asyncio.run(_measure(_Client(host, int(port), key), web_pid, streams, workflows, idle_seconds))


async def _measure(
    client: _Client, web_pid: int, streams: int, workflows: int, idle_seconds: float
) -> StreamCost:
    web = psutil.Process(web_pid)
    await _warm_up(client)
    ids = [await client.submit() for _ in range(workflows)]
    rss_bytes, threads = web.memory_info().rss, web.num_threads()
    readers = []
    for number in range(streams):
        readers.append(await client.open(ids[number % workflows]))
    for reader in readers:
        await reader.readuntil(b"retry: 2000\n\n")
    cpu, began = sum(web.cpu_times()[:2]), time.monotonic()
    ends = [asyncio.create_task(_end_of(reader)) for reader in readers]
    await asyncio.sleep(idle_seconds)
    idle_cpu_share = (sum(web.cpu_times()[:2]) - cpu) / (time.monotonic() - began)
    rss_bytes, threads = web.memory_info().rss - rss_bytes, web.num_threads() - threads
    cancelled_at = []
    for workflow_id in ids:
        cancelled_at.append(time.monotonic())
        await client.post(f"/api/v1/workflows/{workflow_id}/cancel/", "")
    told_at = await asyncio.gather(*ends)
    told = [at - cancelled_at[n % workflows] for n, at in enumerate(told_at) if at is not None]
    return StreamCost(streams, rss_bytes, threads, idle_cpu_share, told)


async def _warm_up(client: _Client) -> None:
    """What a process loads with its first streams is not what a stream costs."""
    workflow_id = await client.submit()
    ends = [asyncio.create_task(_end_of(await client.open(workflow_id))) for _ in range(50)]
    await asyncio.sleep(1)
    await client.post(f"/api/v1/workflows/{workflow_id}/cancel/", "")
    await asyncio.gather(*ends)


async def _end_of(reader: asyncio.StreamReader) -> float | None:
    """When the stream says that its workflow was cancelled; None if it does not within a minute."""
    try:
        async with asyncio.timeout(60):
            await reader.readuntil(b'event: done\ndata: {"status":"cancelled"}\n\n')
    except (TimeoutError, asyncio.IncompleteReadError):
        return None
    return time.monotonic()


class _Client:
    """HTTP by hand: thousands of connections of a library would weigh on the machine that is measured."""

    def __init__(self, host: str, port: int, key: str) -> None:
        self._address = (host, port)
        self._headers = f"Host: {host}:{port}\r\nAuthorization: Bearer {key}\r\n"
        self._writers: list[asyncio.StreamWriter] = []

    async def open(self, workflow_id: str) -> asyncio.StreamReader:
        """The stream of a workflow, once its request is sent."""
        return await self._send(
            f"GET /api/v1/workflows/{workflow_id}/events/ HTTP/1.1\r\n{self._headers}\r\n"
        )

    async def submit(self) -> str:
        """A workflow of a queue that nobody serves."""
        body = '{"type": "one_noop", "input": {}, "priority": "batch"}'
        return (await self.post("/api/v1/workflows/", body)).split('"workflow_id":"')[1].split('"')[0]

    async def post(self, path: str, body: str) -> str:
        """The response to a request on a connection of its own."""
        lines = f"Connection: close\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        reader = await self._send(f"POST {path} HTTP/1.1\r\n{self._headers}{lines}\r\n{body}")
        response = (await reader.read()).decode()
        assert response.startswith("HTTP/1.1 20"), response
        return response

    async def _send(self, request: str) -> asyncio.StreamReader:
        reader, writer = await asyncio.open_connection(*self._address)
        self._writers.append(writer)  # a connection lives as long as its writer
        writer.write(request.encode())
        return reader


def _raise_open_files_limit(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
