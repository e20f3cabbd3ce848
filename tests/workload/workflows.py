"""Definitions of the workloads."""

from agentplatform.agents.registry import registry
from agentplatform.llm.tiers import Tier
from agentplatform.workflows.definition import Definition, StepSpec
from tests.workload import shapes

__all__ = ["shapes"]

ANY_OBJECT = {"type": "object"}


def chain(type_: str, agent: str, length: int, tier: Tier = Tier.FAST) -> Definition:
    """A chain of `length` steps of one agent."""
    steps = tuple(
        StepSpec(
            key=f"step_{number}",
            agent=agent,
            needs=(f"step_{number - 1}",) if number else (),
            tier=tier,
        )
        for number in range(length)
    )
    return Definition(
        type=type_,
        title=f"A chain of {length}",
        description="A workload for measurements.",
        input_schema=ANY_OBJECT,
        steps=steps,
        result=steps[-1].key,
    )


ten_noops = registry.define(chain("ten_noops", "noop", 10))
one_noop = registry.define(chain("one_noop", "noop", 1))
one_sleep = registry.define(chain("one_sleep", "sleep", 1))
one_ask = registry.define(chain("one_ask", "ask", 1))
one_echo = registry.define(chain("one_echo", "echo", 1))
two_echoes = registry.define(chain("two_echoes", "echo", 2))
one_ask_for_nothing = registry.define(chain("one_ask_for_nothing", "ask_for_nothing", 1))
one_deep_ask = registry.define(chain("one_deep_ask", "ask", 1, Tier.POWERFUL))
three_asks = registry.define(chain("three_asks", "ask", 3))
two_asks = registry.define(chain("two_asks", "ask", 2))
one_question = registry.define(chain("one_question", "question", 1))
one_kept_question = registry.define(
    Definition(
        type="one_kept_question",
        title="One call, its result kept",
        description="A workload whose result is given again.",
        input_schema=ANY_OBJECT,
        steps=(StepSpec(key="ask", agent="question", tier=Tier.FAST),),
        result="ask",
        cache_ttl_seconds=600,
        volatile_fields=("trace_id",),
        depends_on=("knowledge",),
    )
)


def faq(type_: str, tier: Tier | None) -> Definition:
    """A question whose answers and results are kept; with a tier, or routed and patient."""
    return Definition(
        type=type_,
        title="Repeated traffic",
        description="A workload for measurements of caches.",
        input_schema=ANY_OBJECT,
        steps=(StepSpec(key="ask", agent="question", tier=tier, tolerates_delay=tier is None),),
        result="ask",
        cache_ttl_seconds=86_400,
    )


faq_pinned = registry.define(faq("faq", Tier.POWERFUL))
faq_routed = registry.define(faq("faq_routed", None))
fan_out = registry.define(
    Definition(
        type="fan_out",
        title="Fan out and in",
        description="A list, each element doubled, and their sum.",
        input_schema=ANY_OBJECT,
        steps=(
            StepSpec(key="list", agent="list"),
            StepSpec(key="double", agent="double", for_each="list.items"),
            StepSpec(key="add", agent="add", needs=("double",)),
        ),
        result="add",
    )
)
fails_once = registry.define(
    Definition(
        type="fails_once",
        title="Fails once",
        description="A step that fails once and is tried again.",
        input_schema=ANY_OBJECT,
        steps=(StepSpec(key="flaky", agent="fail", options={"times": 1}),),
        result="flaky",
    )
)
fails_for_good = registry.define(
    Definition(
        type="fails_for_good",
        title="Fails for good",
        description="A step that gives up at once.",
        input_schema=ANY_OBJECT,
        steps=(
            StepSpec(key="first", agent="noop"),
            StepSpec(key="broken", agent="fail", needs=("first",), options={"transient": False}),
            StepSpec(key="last", agent="noop", needs=("broken",)),
        ),
        result="last",
    )
)
skips = registry.define(
    Definition(
        type="skips",
        title="Skips a part",
        description="A part that fails is left out of the result, and that is said.",
        input_schema=ANY_OBJECT,
        steps=(
            StepSpec(key="broken", agent="fail", on_failure="skip", options={"transient": False}),
            StepSpec(key="last", agent="noop", needs=("broken",)),
        ),
        result="last",
    )
)
each_asks = registry.define(
    Definition(
        type="each_asks",
        title="Each element asks",
        description="Makes model calls for each element of the input's list.",
        input_schema=ANY_OBJECT,
        steps=(StepSpec(key="one", agent="ask", for_each="input.items", tier=Tier.FAST),),
        result="one",
    )
)
each_sleeps = registry.define(
    Definition(
        type="each_sleeps",
        title="Each element sleeps",
        description="Sleeps `input.seconds` for each element of the input's list.",
        input_schema=ANY_OBJECT,
        steps=(StepSpec(key="one", agent="sleep", for_each="input.items", tier=Tier.FAST),),
        result="one",
    )
)
each = registry.define(
    Definition(
        type="each",
        title="Each element",
        description="Does nothing for each element of the input's list.",
        input_schema=ANY_OBJECT,
        steps=(
            StepSpec(
                key="one", agent="noop", for_each="input.items", tier=Tier.FAST, max_output_tokens=1_000
            ),
        ),
        result="one",
    )
)
narrow = registry.define(
    Definition(
        type="narrow",
        title="Narrow",
        description="Steps that see different fields of the input.",
        input_schema=ANY_OBJECT,
        steps=(
            StepSpec(key="a", agent="show_input", input_fields=("a", "missing")),
            StepSpec(key="none", agent="show_input", needs=("a",), input_fields=()),
            StepSpec(key="b", agent="show_input", needs=("none",), input_fields=("b",)),
            StepSpec(key="all", agent="show_input", needs=("b",)),
            StepSpec(key="again", agent="show_input", needs=("all",), input_fields=("a",)),
            StepSpec(
                key="each", agent="show_input", needs=("again",), for_each="input.list", input_fields=("b",)
            ),
            StepSpec(key="seen", agent="gather", needs=("a", "none", "b", "all", "again", "each")),
        ),
        result="seen",
    )
)
noop_then_ask = registry.define(
    Definition(
        type="noop_then_ask",
        title="A no-op, then a call",
        description="A workload: an output at once, then a model.",
        input_schema=ANY_OBJECT,
        steps=(
            StepSpec(key="first", agent="noop"),
            StepSpec(key="second", agent="ask", needs=("first",), tier=Tier.FAST),
        ),
        result="second",
    )
)
poison = registry.define(
    Definition(
        type="poison",
        title="Poison",
        description="Its second step kills the worker that runs it, as long as the input says so.",
        input_schema=ANY_OBJECT,
        steps=(
            StepSpec(key="first", agent="ask", tier=Tier.FAST),
            StepSpec(key="second", agent="kill_worker", needs=("first",)),
        ),
        result="second",
    )
)
slow_once = registry.define(
    Definition(
        type="slow_once",
        title="Slow once",
        description="A step that sleeps past its time limit on its first attempt.",
        input_schema=ANY_OBJECT,
        steps=(
            StepSpec(
                key="slow",
                agent="sleep_on_first_attempts",
                options={"times": 1, "seconds": 60},
                timeout_seconds=2,
            ),
        ),
        result="slow",
    )
)
always_slow = registry.define(
    Definition(
        type="always_slow",
        title="Always slow",
        description="A step that sleeps past its time limit and may be skipped.",
        input_schema=ANY_OBJECT,
        steps=(
            StepSpec(
                key="slow",
                agent="sleep_on_first_attempts",
                options={"times": 9, "seconds": 600},
                timeout_seconds=2,
                max_attempts=1,
                on_failure="skip",
            ),
            StepSpec(key="last", agent="noop", needs=("slow",)),
        ),
        result="last",
    )
)
seeded_fan_out = registry.define(
    Definition(
        type="seeded_fan_out",
        title="A list made from what may be skipped",
        description="A fan-out over an output that was made with a step that may be skipped; its elements may be, too.",
        input_schema=ANY_OBJECT,
        steps=(
            StepSpec(key="seed", agent="noop", on_failure="skip"),
            StepSpec(key="list", agent="list", needs=("seed",)),
            StepSpec(key="double", agent="double", for_each="list.items", on_failure="skip"),
            StepSpec(key="gather", agent="gather", needs=("double",)),
        ),
        result="gather",
    )
)
patient_ask = registry.define(
    Definition(
        type="patient_ask",
        title="Patient ask",
        description="Model calls whose answers may come hours later.",
        input_schema=ANY_OBJECT,
        steps=(StepSpec(key="ask", agent="ask", tier=Tier.FAST, tolerates_delay=True),),
        result="ask",
    )
)
ask_with_tools = registry.define(
    Definition(
        type="ask_with_tools",
        title="Ask with tools",
        description="A question whose answer may need tools of every kind.",
        input_schema={
            "type": "object",
            "properties": {"question": {"type": "string"}},
            "required": ["question"],
        },
        steps=(
            StepSpec(
                key="answer",
                agent="answer_with_tools",
                tier=Tier.FAST,
                options={
                    "tools": [
                        "calculator",
                        "json_query",
                        "knowledge_search",
                        "http_fetch",
                        "webhook:*",
                        "mcp:harbour",
                    ]
                },
            ),
        ),
        is_named_only=True,
        result="answer",
    )
)
