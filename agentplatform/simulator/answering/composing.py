"""Composing the text of an answer from what a prompt asks and brings."""

import json
import re
from collections.abc import Sequence

from agentplatform.simulator.answering.extraction import extract_answer
from agentplatform.simulator.answering.labels import best_label
from agentplatform.simulator.answering.prompt import Passage, Prompt, ToolResult, read_text
from agentplatform.simulator.answering.revising import revise
from agentplatform.simulator.answering.sentences import Sentence, headings_of, sentences_of, split_sentences
from agentplatform.simulator.answering.summary import ASKS_SUMMARY, join_sentences, sentences_asked, summarize

PASSAGES_SILENT = "The passages do not say."
DOCUMENT_SILENT = "The document does not say."
_BODY_KEYS = ("text", "content", "passage", "body", "snippet")
_HEADING_KEYS = ("heading", "title", "source", "name")
_SHORT_RESULT = 400
_LONG_INSTRUCTION = 400
_LONGEST_QUOTED = 1_500
_ASKS_SECTIONS = re.compile(r"\ba section for each\b|\bsections\b", re.IGNORECASE)
_ASKS_REVISION = re.compile(r"\b(?:revise|rewrite|improve)\b", re.IGNORECASE)
_FIRST_HEADING = re.compile(r"\A\s*#{1,6}[ \t]+[^\n]*\n?")


def compose_text(prompt: Prompt) -> str:
    """Return the answer to a prompt in words taken from it."""
    if prompt.draft and _ASKS_REVISION.search(prompt.instruction):
        return revise(prompt.draft)
    if prompt.labels:
        return best_label(prompt.material or prompt.ask, prompt.labels)
    if prompt.tool_results:
        return _from_tool_results(prompt)
    if prompt.passages:
        return _from_passages(prompt.ask, prompt.passages)
    if prompt.documents:
        return _from_documents(prompt)
    return _from_instruction(prompt)


def _from_passages(ask: str, passages: Sequence[Passage]) -> str:
    found = extract_answer(ask, passages)
    if found is None and (not ask or ASKS_SUMMARY.search(ask)):
        found = _summary_of_passages(ask, passages)
    if not found:
        return PASSAGES_SILENT
    return join_sentences([f"{text} [{cited}]" if cited else text for text, cited in found], ask)


def _summary_of_passages(ask: str, passages: Sequence[Passage]) -> list[tuple[str, str]]:
    cited: list[tuple[Sentence, str]] = []
    for passage in passages:
        for sentence in sentences_of(passage.text):
            cited.append((Sentence(sentence.text, len(cited), sentence.is_item), passage.id))
    chosen = summarize([sentence for sentence, _ in cited], ask)
    return [(sentence.text, cited[sentence.position][1]) for sentence in chosen]


def _from_documents(prompt: Prompt) -> str:
    if len(prompt.documents) > 1 and _ASKS_SECTIONS.search(prompt.instruction):
        return _sections(prompt)
    text = "\n\n".join(prompt.documents)
    if prompt.question and not ASKS_SUMMARY.search(prompt.question):
        found = extract_answer(prompt.question, [Passage("", text)])
        return join_sentences([sentence for sentence, _ in found], prompt.ask) if found else DOCUMENT_SILENT
    if prompt.instruction.rstrip().endswith("?") and not ASKS_SUMMARY.search(prompt.instruction):
        found = extract_answer(prompt.instruction, [Passage("", text)])
        if found:
            return join_sentences([sentence for sentence, _ in found], prompt.instruction)
    return _summary(text, f"{prompt.question} {prompt.instruction}")


def _sections(prompt: Prompt) -> str:
    """A report with a section for each document, under its first heading; a short one stands in it as it is."""
    sections = [f"# {prompt.question}"] if prompt.question else []
    for number, document in enumerate(prompt.documents, 1):
        heading = next(iter(headings_of(document)), f"Part {number}")
        body = _FIRST_HEADING.sub("", document).strip()
        told = body if len(body) <= _LONGEST_QUOTED else _summary(body, "")
        sections.append(f"## {heading}\n\n{told}")
    return "\n\n".join(sections)


def _summary(text: str, ask: str) -> str:
    sentences = sentences_of(text)
    if not sentences:
        return " ".join(text.split()[:60]) or "There is no text to summarise."
    return join_sentences([sentence.text for sentence in summarize(sentences, ask)], ask)


def _from_tool_results(prompt: Prompt) -> str:
    failed = [result for result in prompt.tool_results if result.is_error]
    useful = [result for result in prompt.tool_results if not result.is_error and result.text]
    if not useful:
        if failed:
            return (
                f"The tool {failed[-1].tool_name} reported an error: {failed[-1].text or 'no details given'}"
            )
        return f"The tool {prompt.tool_results[-1].tool_name} returned nothing."
    passages = [passage for result in useful for passage in _passages_in(result.text)]
    if passages:
        return _from_passages(prompt.ask, passages)
    return "\n\n".join(_from_tool_result(prompt.ask, result) for result in useful)


def _from_tool_result(ask: str, result: ToolResult) -> str:
    told = _json_as_prose(result.text)
    if len(told) <= _SHORT_RESULT:
        ending = "" if told.endswith((".", "!", "?")) else "."
        return f"Result of {result.tool_name}: {told}{ending}"
    found = extract_answer(ask, [Passage("", told)])
    return " ".join(sentence for sentence, _ in found) if found else _summary(told, ask)


def _passages_in(text: str) -> list[Passage]:
    """Return the passages a tool returned, tagged or as a JSON list of objects with a text."""
    if tagged := read_text(text).passages:
        return list(tagged)
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return []
    if isinstance(value, dict):
        value = next((part for part in value.values() if isinstance(part, list)), [])
    found: list[Passage] = []
    for number, part in enumerate(value if isinstance(value, list) else [], 1):
        if isinstance(part, dict):
            body = next((part[key] for key in _BODY_KEYS if isinstance(part.get(key), str)), "")
            heading = next((part[key] for key in _HEADING_KEYS if isinstance(part.get(key), str)), "")
            if body:
                found.append(Passage(str(part.get("id", number)), body, heading))
    return found


def _json_as_prose(text: str) -> str:
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return text
    return _value_as_prose(value)


def _value_as_prose(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(
            f"{str(key).replace('_', ' ')} {_value_as_prose(part)}" for key, part in value.items()
        )
    if isinstance(value, list):
        return "; ".join(_value_as_prose(part) for part in value)
    return value if isinstance(value, str) else json.dumps(value)


def _from_instruction(prompt: Prompt) -> str:
    """Answer a text without tags: its first or last paragraph asks, the rest is what it brings."""
    ask, body = _split_instruction(prompt.ask)
    for text in (body, prompt.earlier):
        if not text.strip():
            continue
        if ASKS_SUMMARY.search(ask):
            return _summary(text, ask)
        found = extract_answer(ask, [Passage("", text)])
        if found:
            return join_sentences([sentence for sentence, _ in found], ask)
    if body:
        return _summary(body, ask)
    return _plain_reply(ask)


def _split_instruction(text: str) -> tuple[str, str]:
    paragraphs = [part.strip() for part in re.split(r"\n\s*\n", text.strip()) if part.strip()]
    if len(paragraphs) > 1:
        asks_last = paragraphs[-1].endswith("?") and not paragraphs[0].endswith(("?", ":"))
        ask = paragraphs[-1] if asks_last else paragraphs[0]
        if len(ask) <= _LONG_INSTRUCTION:
            return ask, "\n\n".join(paragraphs[:-1] if asks_last else paragraphs[1:])
    sentences = split_sentences(" ".join(text.split()))
    asking = [sentence for sentence in sentences if sentence.endswith("?")]
    if asking and len(sentences) > len(asking):
        return " ".join(asking), " ".join(sentence for sentence in sentences if sentence not in asking)
    first, separator, rest = text.strip().partition(":")
    if separator and len(first) <= 120 and len(split_sentences(" ".join(rest.split()))) > 1:
        return first, rest
    if len(sentences) > max(3, sentences_asked(text, 0)):
        return sentences[0], " ".join(sentences[1:])
    return text.strip(), ""


def _plain_reply(ask: str) -> str:
    asked = " ".join(ask.split())
    if len(asked) > 200:
        asked = asked[:200].rsplit(" ", 1)[0] + " …"
    return (
        f"You wrote: “{asked}”. Nothing was given to answer that from, and this simulator of the API has no"
        " knowledge of its own."
    )
