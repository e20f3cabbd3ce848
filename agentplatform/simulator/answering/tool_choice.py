"""Whether to call a tool, which, and with what input."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from agentplatform.simulator.answering.prompt import Prompt
from agentplatform.simulator.answering.schema_filling import FillSource, fill_schema
from agentplatform.simulator.answering.terms import TermWeights, term_list, terms_of, words_of
from agentplatform.simulator.answering.values import find_arithmetic, find_code_span, find_pattern
from agentplatform.simulator.request import ToolChoice

_VERBS = terms_of(
    "get set run call fetch make find search lookup look create return compute tool function value"
)
_RETRIEVES = re.compile(r"search|retriev|look[\s_]?up|find|quer|knowledge|fetch", re.IGNORECASE)
_CALCULATES = re.compile(r"calculat|arithmetic|math|evaluate|expression", re.IGNORECASE)
_QUERIES = re.compile(r"jmespath|jsonpath|\bsql\b", re.IGNORECASE)
_FETCHES = re.compile(r"\burl\b|web page|\bhttp", re.IGNORECASE)
_LEAST_SCORE = 2.0

Tool = Mapping[str, Any]


def choose_tool(tools: Sequence[Tool], choice: ToolChoice, prompt: Prompt) -> Tool | None:
    """Return the tool to call, or None where the answer is to be text.

    A forced choice always calls. Otherwise a tool is called once for each text of the user, and only if its
    name, description or parameters match that text, or if it retrieves and nothing was given to answer from. One that
    needs an expression, a query in a language of its own or an address is called only where the text has one.
    """
    if not tools or choice.type == "none":
        return None
    if choice.type == "tool":
        return next(tool for tool in tools if tool["name"] == choice.name)
    fresh = [tool for tool in tools if tool["name"] not in prompt.called_tools]
    scores = [_score(tool, tools, prompt) for tool in fresh]
    if scores and (choice.type == "any" or max(scores) >= _LEAST_SCORE):
        return fresh[scores.index(max(scores))]
    return tools[0] if choice.type == "any" else None


def tool_input(tool: Tool, prompt: Prompt) -> dict[str, Any]:
    """Return input for a tool that satisfies its schema, filled from the prompt and from earlier results."""
    results = "\n\n".join(result.text for result in prompt.tool_results if not result.is_error)
    text = "\n\n".join(part for part in (prompt.ask, prompt.material, results) if part)
    filled = fill_schema(tool["input_schema"], FillSource(text, prompt.ask))
    return dict(filled)


def _score(tool: Tool, tools: Sequence[Tool], prompt: Prompt) -> float:
    asked = terms_of(prompt.ask)
    description = str(tool.get("description", ""))
    name = " ".join(words_of(str(tool["name"])))
    parameters = " ".join(words_of(" ".join(tool["input_schema"].get("properties") or {})))
    weights = TermWeights([terms_of(f"{one['name']} {one.get('description', '')}") for one in tools])
    distinct = {
        term for term in term_list(f"{name} {description}") if len(tools) == 1 or weights.weight(term) > 0.3
    }
    score = 2.0 * len(asked & (set(term_list(name)) - _VERBS))
    score += 1.0 * len(asked & (set(term_list(description)) & distinct - _VERBS - set(term_list(name))))
    score += 1.0 * len(asked & (set(term_list(parameters)) - _VERBS))
    for what, given in (
        (_QUERIES, find_code_span(prompt.ask)),
        (_FETCHES, find_pattern("uri", prompt.ask)),
        (_CALCULATES, find_arithmetic(prompt.ask)),
    ):
        if what.search(f"{name} {description}"):
            return score + 5.0 if given else min(score, 1.0)
    if _RETRIEVES.search(f"{name} {description}") and not (prompt.material or prompt.tool_results):
        score += 2.0 if prompt.question or prompt.ask.rstrip().endswith("?") else 0.5
    return score
