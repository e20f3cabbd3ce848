"""The simulation beside what queueing theory knows, and the limits of the platform that bind in it."""

from __future__ import annotations

import random
import statistics
from dataclasses import replace
from typing import Any

import pytest

from agentplatform.capacity.arrivals import tenants_of
from agentplatform.capacity.draws import Draw
from agentplatform.capacity.erlang import wait_probability, wait_quantile
from agentplatform.capacity.model import BudgetCap, Platform, Queue, Rates, Station, TierLimits, Workload
from agentplatform.capacity.simulation import Measured, Simulation, quantile
from tests.unit.capacity.loads import LINE, ONE, RATE_KEY, calls, exponential, load, platform, step, task


def run(workload: Workload, on: Platform, seconds: float, **more: Any) -> Measured:
    return Simulation(
        workload, on, **{"seconds": seconds, "warm_up_seconds": seconds / 20, "seed": 1, **more}
    ).run()


@pytest.mark.parametrize(("slots", "utilisation"), [(1, 0.6), (4, 0.7), (20, 0.85)])
def test_waits_are_those_of_an_m_m_c_queue(slots: int, utilisation: float) -> None:
    """With Poisson arrivals and exponential times: how often a step waits, how long, and how busy the slots are."""
    offered = slots * utilisation
    found = run(load(task(offered, step(slot_seconds=exponential(1.0)))), platform(slots), 30_000 / offered)
    waits = found.waits[LINE]
    expected = wait_probability(slots, offered)
    assert sum(wait > 0 for wait in waits) / len(waits) == pytest.approx(expected, rel=0.08)
    assert statistics.mean(waits) == pytest.approx(expected / (slots - offered), rel=0.2)
    assert quantile(waits, 0.95) == pytest.approx(wait_quantile(slots, offered, 1.0, 1.0), rel=0.2)
    assert found.busy_seconds["standard"] / found.seconds == pytest.approx(offered, rel=0.03)


def test_steady_times_halve_the_waits_of_one_slot() -> None:
    """Pollaczek and Khinchine's formula, of an M/D/1 queue: 0.6 / (2 * 0.4) seconds."""
    found = run(load(task(0.6)), platform(1), 40_000)
    assert statistics.mean(found.waits[LINE]) == pytest.approx(0.75, rel=0.08)


def test_littles_law_holds() -> None:
    """What is in the system in the mean is what arrives times how long it stays."""
    found = run(load(task(2.0, step(slot_seconds=exponential(1.0)))), platform(3), 8_000)
    stays = found.run_seconds["task"]
    in_system = found.busy_seconds["standard"] / found.seconds + sum(found.waits[LINE]) / found.seconds
    assert in_system == pytest.approx(len(stays) / found.seconds * statistics.mean(stays), rel=0.02)


def test_the_same_seed_gives_the_same() -> None:
    workload = load(task(2.0, step(slot_seconds=exponential(1.0))))
    first, again = (run(workload, platform(3), 200).waits[LINE] for _ in range(2))
    assert first == again != run(workload, platform(3), 200, seed=2).waits[LINE]


def test_a_chain_keeps_its_slot_and_a_fan_out_waits_for_slots() -> None:
    """A step that another sets free goes on in the same slot; of ten that are ready at once two start."""
    chain = task(0.01, step("a"), step("b", ONE, "a"), step("c", ONE, "b"))
    found = run(load(chain, dispatch_seconds=Draw.constant(0.5)), platform(2), 20_000)
    assert quantile(found.waits[LINE], 0.6) == 0.0
    assert max(found.waits[LINE]) < 10
    assert statistics.median(found.run_seconds["task"]) == pytest.approx(3.5)
    wide = task(
        0.001, step("list"), step("each", ONE, "list", count=Draw.constant(10.0)), step("sum", ONE, "each")
    )
    lengths = run(load(wide), platform(2), 100_000).run_seconds["task"]
    assert statistics.median(lengths) == pytest.approx(1 + 5 + 1)


def test_a_loop_goes_round_and_a_bounded_fan_out_keeps_its_bound() -> None:
    """One after the other, in the same slot; and three at a time of nine, on many slots."""
    loop = task(0.001, step("round", ONE, count=Draw.constant(4.0), is_loop=True))
    assert statistics.median(run(load(loop), platform(8), 50_000).run_seconds["task"]) == pytest.approx(4)
    bounded = task(0.001, step("each", ONE, count=Draw.constant(9.0), max_concurrent=3))
    assert statistics.median(run(load(bounded), platform(8), 50_000).run_seconds["task"]) == pytest.approx(3)


def test_of_a_million_tenants_those_that_come_are_made() -> None:
    """Two were measured, one with nine of ten runs: their copies keep these shares."""
    workload = replace(load(task(1.0)), tenant_shares={"standard": (0.9, 0.1)})
    tenants, chance = tenants_of(workload, platform(1), 1e6)["standard"], random.Random(1)
    drawn = [tenants.draw(chance).number for _ in range(1_000)]
    assert tenants.count == 2_000_000
    assert len(tenants.made) == len(set(drawn)) > 990
    assert sum(number % 2 == 0 for number in drawn) == pytest.approx(900, abs=40)


def test_a_providers_rate_makes_steps_wait_outside_their_slots() -> None:
    """At sixty requests a minute no more than one a second starts, however many slots there are."""
    limited = platform(50, rates={RATE_KEY: Rates(requests=60)})
    workload = load(task(2.0, step(calls=(calls(),))))
    found = run(workload, limited, 1_000)
    assert found.steps == pytest.approx(1_000, rel=0.1)
    assert found.rate_waits[RATE_KEY] > 0
    assert found.busy_seconds["standard"] < 5_000
    assert run(workload, platform(50), 1_000).steps == pytest.approx(2_000, rel=0.1)


def test_a_budget_holds_what_goes_beyond_it() -> None:
    """No more is spent than it has; steps of another type go on."""
    capped = BudgetCap("tasks", 100_000, False, task_type="task")
    workload = load(task(1.0, step(calls=(calls(),))), task(1.0, step(calls=(calls(),)), type_="other"))
    found = run(workload, platform(20), 1_000, warm_up_seconds=0, budgets={capped: 100_000.0})
    assert found.held_by_budget["tasks"] > 800
    assert len(found.run_seconds["task"]) == 100
    assert found.cost_usd_micros == pytest.approx(
        100_000 + 1_000 * len(found.run_seconds["other"]), abs=3_000
    )


def test_a_tenant_has_no_more_than_its_limits() -> None:
    """Of slots at once, of steps a minute, and of requests a minute."""
    busy = load(task(3.0))
    few = platform(50, tiers={"standard": TierLimits("standard", max_concurrent_steps=2)})
    assert run(busy, few, 1_000).busy_seconds["standard"] == pytest.approx(2_000, rel=0.02)
    slow = platform(50, tiers={"standard": TierLimits("standard", steps_per_minute=60)})
    assert run(busy, slow, 1_000).steps == pytest.approx(1_000, rel=0.1)
    refusing = platform(50, tiers={"standard": TierLimits("standard", requests_per_minute=60)})
    found = run(busy, refusing, 1_000)
    assert found.runs == pytest.approx(1_000, rel=0.1)
    assert found.refused == pytest.approx(2_000, rel=0.1)


def test_two_tenants_share_slots_evenly_however_much_one_asks_for() -> None:
    """Fair queueing: the one that asks for little waits little beside the other's backlog."""
    workload = load(task(4.0), tenant_shares={"standard": (0.95, 0.05)})
    simulation = Simulation(workload, platform(2), seconds=400, seed=3)
    simulation.run()
    (line,) = simulation._lines.values()
    waiting = {number: len(lane.waiting) for number, lane in line.lanes.items()}
    assert waiting[0] > 300
    assert waiting[1] < 5


def test_workers_of_a_less_urgent_queue_are_lent() -> None:
    """As long as steps of the more urgent one wait; without that, they would wait without end."""
    queues = {
        "interactive": Queue(
            "interactive", 90, 1_000, borrowable_slots=8, borrow_after_seconds=2.0, dedicated_slots=2
        ),
        "batch": Queue("batch", 10, 1_000, lendable_slots=8, dedicated_slots=8),
    }
    own = Station("interactive", 2, frozenset({("interactive", "shared")}))
    lendable = Station("batch-lendable", 8, frozenset({("batch", "shared")}), 8, is_lendable=True)
    workload = load(task(3.0, queue="interactive"))
    lent = run(workload, platform(0, queues=queues, stations=(own, lendable)), 600)
    alone = run(workload, platform(0, queues=queues, stations=(own,)), 600)
    assert (
        quantile(lent.queue_waits("interactive"), 0.5)
        < 5
        < 50
        < quantile(alone.queue_waits("interactive"), 0.5)
    )


def test_bursts_wait_longer_than_independent_arrivals() -> None:
    """And many tenants' bursts, that know nothing of each other, are nearly independent."""
    even, bursts = (load(task(2.1, burstiness=one)) for one in (1.0, 8.0))
    waits = [statistics.mean(run(one, platform(3), 8_000).waits[LINE]) for one in (even, bursts)]
    assert waits[1] > 2 * waits[0]
    many = statistics.mean(run(bursts, platform(3), 8_000, more_tenants=40).waits[LINE])
    assert many == pytest.approx(waits[0], rel=0.3)
