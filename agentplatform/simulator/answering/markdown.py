"""From Markdown to prose: blocks without code, tables and markup."""

import html
import re
from dataclasses import dataclass
from typing import Literal

_FENCE = re.compile(r"\s*(?:```|~~~)")
_HEADING = re.compile(r"\s{0,3}#{1,6}\s+(.{1,200})$")
_UNDERLINE = re.compile(r"\s{0,3}(?:=+|-{2,})\s*$")
_RULE = re.compile(r"\s{0,3}(?:[-*_]\s*){3,}$")
_ITEM = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)])\s+(.*)$")
_TABLE_ROW = re.compile(r"\s*\||[^|]{1,120}\|[^|]{1,120}\||\s*:?-{3,}:?\s*\|")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_INLINE = (
    (re.compile(r"!\[[^\]]*\]\([^)]*\)"), ""),
    (re.compile(r"\[([^\]]+)\]\([^)]*\)"), r"\1"),
    (re.compile(r"\[([^\]]+)\]\[[^\]]*\]"), r"\1"),
    (re.compile(r"\[\^[^\]]+\]"), ""),
    (re.compile(r"``?([^`]+)``?"), r"\1"),
    (re.compile(r"(\*\*\*|\*\*|__)(?=\S)(.+?)(?<=\S)\1"), r"\2"),
    (re.compile(r"(?<![\w*])\*(?=\S)([^*]+?)(?<=\S)\*(?![\w*])"), r"\1"),
    (re.compile(r"(?<!\w)_(?=\S)([^_]+?)(?<=\S)_(?!\w)"), r"\1"),
    (re.compile(r"</?[a-zA-Z][^<>]*>"), ""),
    (re.compile(r"\\([\\`*_{}\[\]()#+.!|-])"), r"\1"),
)


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, list item or heading, free of markup, on one line."""

    kind: Literal["paragraph", "item", "heading"]
    text: str


def plain_inline(text: str) -> str:
    """Return a line without inline markup: emphasis, code marks, links, images and tags."""
    for pattern, replacement in _INLINE:
        text = pattern.sub(replacement, text)
    return " ".join(html.unescape(text).split())


def plain_blocks(text: str) -> list[Block]:
    """Return the prose of a Markdown text in order; code blocks, tables and rules are left out."""
    reader = _BlockReader()
    for line in _COMMENT.sub("", text).expandtabs(4).splitlines():
        reader.read(line)
    reader.close()
    return reader.blocks


class _BlockReader:
    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._kind: Literal["paragraph", "item"] = "paragraph"
        self._lines: list[str] = []
        self._fenced = False

    def read(self, line: str) -> None:
        if _FENCE.match(line):
            self.close()
            self._fenced = not self._fenced
        elif self._fenced:
            return
        elif not line.strip() or _TABLE_ROW.match(line):
            self.close()
        elif heading := _HEADING.match(line):
            self.close()
            self._add("heading", heading.group(1).rstrip("# "))
        elif self._lines and self._kind == "paragraph" and _UNDERLINE.match(line):
            self._kind, lines = "paragraph", self._lines
            self._lines = []
            self._add("heading", " ".join(lines))
        elif _RULE.match(line):
            self.close()
        elif item := _ITEM.match(line):
            self.close()
            self._kind, self._lines = "item", [item.group(1)]
        elif not self._lines and line.startswith("    ") and not self._follows_item():
            return
        else:
            self._lines.append(line.strip().lstrip("> "))

    def close(self) -> None:
        lines, kind = self._lines, self._kind
        self._lines, self._kind = [], "paragraph"
        if lines:
            self._add(kind, " ".join(lines))

    def _add(self, kind: Literal["paragraph", "item", "heading"], raw: str) -> None:
        if plain := plain_inline(raw):
            self.blocks.append(Block(kind, plain))

    def _follows_item(self) -> bool:
        return bool(self.blocks) and self.blocks[-1].kind == "item"
