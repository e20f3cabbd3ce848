"""Answers in words taken from the prompt, so that a reader finds sense in them. Deterministic throughout."""

from agentplatform.simulator.answering.composing import compose_text
from agentplatform.simulator.answering.prompt import Prompt, read_prompt, read_text
from agentplatform.simulator.answering.schema_filling import FillSource, fill_schema
from agentplatform.simulator.answering.tool_choice import choose_tool, tool_input
from agentplatform.simulator.reply import Draft, compact_json
from agentplatform.simulator.request import MessagesRequest


def draft_answer(request: MessagesRequest) -> Draft:
    """Return what a request is answered with, before `max_tokens` and stop sequences apply.

    In this order: a tool call, JSON for a schema, one of the given labels, and else text. Raises a 400 for a
    schema no valid value was found for.
    """
    prompt = read_prompt(request)
    tool = choose_tool(request.tools, request.tool_choice, prompt)
    if tool is not None:
        return Draft(tool_name=tool["name"], tool_input=tool_input(tool, prompt), schema=tool["input_schema"])
    schema = request.output_schema or prompt.schema
    text = compact_json(fill_schema(schema, _fill_source(prompt))) if schema else compose_text(prompt)
    if prompt.prefill:
        return Draft(text=text.removeprefix(prompt.prefill))
    return Draft(text=text, schema=schema)


def _fill_source(prompt: Prompt) -> FillSource:
    results = "\n\n".join(result.text for result in prompt.tool_results)
    # Where a later turn brings nothing to read, as one that asks for a correction, what the earlier ones brought holds.
    given = prompt.material or read_text(prompt.earlier).material
    material = "\n\n".join(part for part in (given, results) if part)
    labels = prompt.labels or read_text(prompt.earlier).labels
    return FillSource(material or prompt.ask or prompt.earlier, prompt.ask, labels, prompt.items)
