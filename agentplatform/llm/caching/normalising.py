"""Texts and inputs in one form, so that what differs in spelling alone has one key."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

_TRAILING = re.compile(r"[^\S\n]+(?=\n|$)")
_INNER = re.compile(r"(?<=\S)[^\S\n]+(?=\S)")
_BLANK_LINES = re.compile(r"\n{3,}")
_MEANT = frozenset({"<super>", "<sub>", "<fraction>"})
"""Compatibility characters that mean something else than the plain ones: 10² is not 102."""


def normalised_text(text: str) -> str:
    """NFKC without what would change the meaning, and white space that says nothing made one.

    Indentation stays: in code and lists it means something.
    """
    if not unicodedata.is_normalized("NFKC", text):
        text = unicodedata.normalize("NFC", "".join(map(_plain, text)))
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _INNER.sub(" ", _TRAILING.sub("", text))
    return _BLANK_LINES.sub("\n\n", text).strip("\n").rstrip()


def _plain(character: str) -> str:
    kind = unicodedata.decomposition(character).partition(" ")[0]
    return character if kind in _MEANT else unicodedata.normalize("NFKC", character)


def normalised(value: Any) -> Any:
    """A JSON value with every text in it normalised."""
    if isinstance(value, str):
        return normalised_text(value)
    if isinstance(value, Mapping):
        return {name: normalised(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [normalised(part) for part in value]
    return value


def without_fields(document: Mapping[str, Any], volatile: Iterable[str]) -> dict[str, Any]:
    """A workflow's input without the fields that say nothing of its answer."""
    left_out = frozenset(volatile)
    return {name: value for name, value in document.items() if name not in left_out}
