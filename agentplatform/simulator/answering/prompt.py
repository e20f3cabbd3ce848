"""What a conversation asks for and the material it brings, read by the prompt conventions.

The last message of the user may hold `<question>` or `<topic>`, `<passages>` of `<passage id source heading>`, `<document>`,
`<items>` of `<item id>`, `<labels>`, `<draft>` and `<schema>`. Any other pair of tags holds a document.
"""

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from agentplatform.simulator.request import MessagesRequest

_ATTRIBUTE = re.compile(r"([\w-]+)=(?:\"([^\"]*)\"|'([^']*)')")
_ATTRIBUTES = r"((?:\s+[\w-]+=(?:\"[^\"]*\"|'[^']*'))*)\s*"
_PASSAGE = re.compile(rf"<passage{_ATTRIBUTES}>(.*?)</passage>", re.DOTALL)
_ITEM = re.compile(rf"<item{_ATTRIBUTES}>(.*?)</item>", re.DOTALL)
_OPENING = re.compile(rf"<([a-z][\w-]*){_ATTRIBUTES}>")
_LABEL_SEPARATOR = re.compile(r"[,;]")


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage to answer from; its id is what a citation names, empty where there is nothing to cite."""

    id: str
    text: str
    heading: str = ""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool that was called for this request returned."""

    tool_name: str
    text: str
    is_error: bool


@dataclass(frozen=True, slots=True)
class Prompt:
    """The request as the answering sees it.

    `items` are the parts of a list, each to be dealt with by itself; `draft` is a text to be judged or revised.
    `instruction` is the user's latest text outside of tags, `earlier` the user's previous texts, `called_tools`
    the tools called since the latest text, `prefill` the beginning of the answer where the caller wrote it.
    """

    question: str = ""
    instruction: str = ""
    passages: tuple[Passage, ...] = ()
    documents: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None
    tool_results: tuple[ToolResult, ...] = ()
    called_tools: frozenset[str] = frozenset()
    earlier: str = ""
    prefill: str = ""
    items: tuple[Passage, ...] = ()
    draft: str = ""

    @property
    def ask(self) -> str:
        """The question, or else the instruction."""
        return self.question or self.instruction

    @property
    def material(self) -> str:
        """All the text given to answer from: a draft, documents, passages and items."""
        parts = [self.draft, *self.documents, *(part.text for part in (*self.passages, *self.items))]
        return "\n\n".join(part for part in parts if part)


def read_prompt(request: MessagesRequest) -> Prompt:
    """Read a request: the latest text of the user, and what tools returned for it since."""
    messages = request.messages
    asked = max((i for i, message in enumerate(messages) if _is_asked(message)), default=0)
    latest = messages[asked + 1 :]
    results = _tool_results(latest)
    last = messages[-1]
    return read_text(
        _text_of(messages[asked]),
        documents=_attached_documents(messages[asked]),
        tool_results=results,
        called_tools=frozenset(block["name"] for block in _blocks(latest, "tool_use")),
        earlier="\n\n".join(_text_of(message) for message in messages[:asked] if message["role"] == "user"),
        prefill=_text_of(last) if last["role"] == "assistant" else "",
    )


def read_text(text: str, *, documents: Sequence[str] = (), **fields: Any) -> Prompt:
    """Read one text by the conventions; `fields` are further fields of the prompt."""
    passages = tuple(_passage(match) for match in _PASSAGE.finditer(text))
    items = tuple(_passage(match) for match in _ITEM.finditer(text))
    found, instruction = _tagged_blocks(_ITEM.sub("", _PASSAGE.sub("", text)))
    named = {"question", "topic", "labels", "schema", "passages", "items", "draft"}
    tagged = [body for tag, bodies in found.items() if tag not in named for body in bodies if body]
    return Prompt(
        question=" ".join([*found.get("question", []), *found.get("topic", [])]),
        instruction=instruction,
        passages=passages,
        documents=(*documents, *tagged),
        labels=_labels(found.get("labels", [])),
        schema=_schema(found.get("schema", [])),
        items=items,
        draft="\n\n".join(found.get("draft", [])),
        **fields,
    )


def _is_asked(message: Mapping[str, Any]) -> bool:
    return message["role"] == "user" and bool(_text_of(message) or _attached_documents(message))


def _text_of(message: Mapping[str, Any]) -> str:
    content = message["content"]
    if isinstance(content, str):
        return content
    return "\n\n".join(block["text"] for block in content if block["type"] == "text")


def _attached_documents(message: Mapping[str, Any]) -> list[str]:
    texts: list[str] = []
    for block in _blocks([message], "document"):
        source = block["source"]
        data = source.get("data") if source["type"] == "text" else source.get("content")
        if source["type"] in ("text", "content"):
            texts.append(_content_text(data))
    texts.extend(_content_text(block["content"]) for block in _blocks([message], "search_result"))
    return [text for text in texts if text]


def _blocks(messages: Sequence[Mapping[str, Any]], kind: str) -> list[Mapping[str, Any]]:
    return [
        block
        for message in messages
        if not isinstance(message["content"], str)
        for block in message["content"]
        if block["type"] == kind
    ]


def _tool_results(messages: Sequence[Mapping[str, Any]]) -> tuple[ToolResult, ...]:
    names = {block["id"]: block["name"] for block in _blocks(messages, "tool_use")}
    return tuple(
        ToolResult(
            tool_name=names.get(block["tool_use_id"], "tool"),
            text=_result_text(_content_text(block.get("content", "")).strip()),
            is_error=bool(block.get("is_error", False)),
        )
        for block in _blocks(messages, "tool_result")
    )


def _result_text(text: str) -> str:
    """What a tool returned, out of an object that holds it as `result` or `error` and at most `notes` beside it."""
    try:
        value = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return text
    if (
        not isinstance(value, dict)
        or not value.keys() & {"result", "error"}
        or len(value.keys() - {"notes"}) != 1
    ):
        return text
    inner = value.get("result", value.get("error"))
    return inner if isinstance(inner, str) else json.dumps(inner, ensure_ascii=False)


def _content_text(content: object) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "\n\n".join(block["text"] for block in content if block["type"] == "text")


def _tagged_blocks(text: str) -> tuple[dict[str, list[str]], str]:
    """Return the bodies of top-level tags by name, and the text outside of them."""
    found: dict[str, list[str]] = {}
    outside: list[str] = []
    unclosed: set[str] = set()
    position = 0
    for opening in _OPENING.finditer(text):
        tag = opening.group(1)
        if opening.start() < position or tag in unclosed:
            continue
        end = text.find(f"</{tag}>", opening.end())
        if end < 0:
            unclosed.add(tag)
            continue
        found.setdefault(tag, []).append(html.unescape(text[opening.end() : end]).strip())
        outside.append(text[position : opening.start()])
        position = end + len(tag) + 3
    return found, "".join([*outside, text[position:]]).strip()


def _passage(match: re.Match[str]) -> Passage:
    found = _ATTRIBUTE.findall(match.group(1))
    attributes = {name: html.unescape(double or single) for name, double, single in found}
    text = html.unescape(match.group(2)).strip("\n")
    return Passage(attributes.get("id", ""), text, attributes.get("heading", ""))


def _labels(bodies: Sequence[str]) -> tuple[str, ...]:
    parts: list[str] = []
    for body in bodies:
        # A label a line may carry a description with commas of its own.
        parts += body.splitlines() if "\n" in body.strip() else _LABEL_SEPARATOR.split(body)
    cleaned = (part.strip(" \t-*\"'`,") for part in parts)
    return tuple(dict.fromkeys(part for part in cleaned if part))


def _schema(bodies: Sequence[str]) -> Mapping[str, Any] | None:
    for body in bodies:
        try:
            schema = json.loads(body)
            Draft202012Validator.check_schema(schema)
        except (json.JSONDecodeError, SchemaError, RecursionError):
            continue
        if isinstance(schema, dict):
            return schema
    return None
