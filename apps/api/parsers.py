"""JSON bodies, strictly."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import IO, Any

import orjson
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

MAX_DEPTH = 64


class StrictJSONParser(BaseParser):
    """One JSON object in UTF-8: no NaN, no number out of range, no U+0000, nothing nested beyond MAX_DEPTH."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        try:
            document = orjson.loads(stream.read())
        except orjson.JSONDecodeError as error:
            raise ParseError(f"The body is not valid JSON: {error.msg} at character {error.pos}.") from None
        if not isinstance(document, dict):
            raise ParseError("The body must be a JSON object.")
        _check(document, 0)
        return document


def _check(value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ParseError(f"The body is nested more than {MAX_DEPTH} levels deep.")
    if isinstance(value, str):
        if "\x00" in value:
            raise ParseError("The body holds the character U+0000, which cannot be stored; leave it out.")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ParseError("The body holds a number that is out of range.")
    elif isinstance(value, dict):
        for name, inner in value.items():
            _check(name, depth)
            _check(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _check(inner, depth + 1)
