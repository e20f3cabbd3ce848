"""JSON bodies, strictly."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import IO, Any

import orjson
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

MAX_DEPTH = 64
LARGEST_NUMBER = 2.0**63
LARGEST_EXACT = 2.0**53
"""Up to here a float has every whole number."""


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
        return kept_exactly(document)


def kept_exactly(value: Any, depth: int = 0) -> Any:
    """The value as the database gives it back, digit for digit. Raises ParseError for one that it could not keep.

    jsonb writes a large float out as the whole number of its shortest decimal form, which is another number: so one
    that is whole becomes an integer first.
    """
    if depth > MAX_DEPTH:
        raise ParseError(f"The body is nested more than {MAX_DEPTH} levels deep.")
    if isinstance(value, str) and "\x00" in value:
        raise ParseError("The body holds the character U+0000, which cannot be stored; leave it out.")
    if isinstance(value, float):
        # A number that is a field of the body is that field's to judge, unless it is none.
        is_free = depth > 1
        if not abs(value) < (LARGEST_NUMBER if is_free else math.inf):
            raise ParseError("The body holds a number that is out of range: it has to be within 2^63.")
        return int(value) if is_free and value.is_integer() and abs(value) > LARGEST_EXACT else value
    if isinstance(value, dict):
        return {kept_exactly(name, depth): kept_exactly(inner, depth + 1) for name, inner in value.items()}
    if isinstance(value, list):
        return [kept_exactly(inner, depth + 1) for inner in value]
    return value
