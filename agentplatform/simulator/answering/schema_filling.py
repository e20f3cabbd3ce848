"""A JSON value that satisfies a schema, its fields filled with the spans of a text that fit their names."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from referencing.exceptions import Unresolvable

from agentplatform.simulator.answering.judging import (
    asks_for_faults,
    bounds,
    drawn_score,
    faults_in,
    is_score,
)
from agentplatform.simulator.answering.labels import best_place, fitting_places
from agentplatform.simulator.answering.prompt import Passage
from agentplatform.simulator.answering.questions import TYPICAL_QUESTIONS, research_questions
from agentplatform.simulator.answering.sentences import headings_of, sentences_of
from agentplatform.simulator.answering.summary import choose_sentences, key_terms
from agentplatform.simulator.answering.terms import terms_of, word_set, words_of
from agentplatform.simulator.answering.values import (
    find_date,
    find_number,
    find_pattern,
    find_quoted,
    find_span,
    fitting_sentence,
    labelled_value,
    list_items,
    names_of,
)
from agentplatform.simulator.errors import invalid_request

_MAX_DEPTH = 24
_DEEP = 6
_MOST_FILLS = 5_000
_LARGEST_MINIMUM = 10_000
_ASK_WORDS = word_set("query question q search prompt input request message topic text keywords subject")
_QUESTION_WORDS = word_set("questions queries")
_SUMMARY_WORDS = word_set("summary description abstract overview answer explanation reason rationale")
_FORMATS = {
    "email": "unknown@example.com", "uri": "https://example.com/", "ipv4": "0.0.0.0", "time": "00:00:00Z",
    "uuid": "00000000-0000-0000-0000-000000000000", "date-time": "1970-01-01T00:00:00Z",
}  # fmt: skip
_NEGATION = re.compile(
    r"\b(?:not?|never|none|without|cannot|isn't|aren't|wasn't|doesn't|don't|won't)\b", re.IGNORECASE
)

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FillSource:
    """What values come from: the text that is read, and what was asked about it.

    `labels` say in words what values of an enumeration stand for; of `items`, a list of objects has one for each.
    """

    text: str
    ask: str
    labels: tuple[str, ...] = ()
    items: tuple[Passage, ...] = ()

    def described(self, options: Sequence[str]) -> list[str]:
        """The options, with what their labels say of them."""
        known = {label.partition(":")[0].strip(): label for label in self.labels}
        return [known.get(option, option) for option in options]


def fill_schema(schema: Schema, source: FillSource) -> Any:
    """Return a value that validates against a JSON schema (draft 2020-12).

    Fields are filled from the text where a span fits their name, type and format, and with the plainest valid
    value where none does. Raises a 400 where no valid value was found, as for patterns the text has no match of.
    """
    try:
        value = _Filler(schema, source).fill(schema, "", 0)
        error = best_match(Draft202012Validator(schema).iter_errors(value))
    except (re.error, OverflowError, RecursionError, Unresolvable) as problem:
        raise invalid_request(f"The simulator can't fill this schema: {problem}") from None
    if error is not None:
        place = error.json_path.removeprefix("$.")
        raise invalid_request(
            f"The simulator can't fill this schema from the prompt, at {place}: {error.message}"
        )
    return value


class _Filler:
    def __init__(self, root: Schema, source: FillSource) -> None:
        self._root = root
        self._source = source
        self._validator = Draft202012Validator(root)
        self._fills_left = _MOST_FILLS

    def fill(self, schema: Schema | bool, name: str, depth: int) -> Any:
        if isinstance(schema, bool):
            return None
        self._fills_left -= 1
        if depth > _MAX_DEPTH or self._fills_left < 0:
            raise invalid_request(
                "The simulator can't fill this schema: it is too large, or refers to itself without an end."
            )
        if isinstance(schema.get("$ref"), str):
            return self.fill(self._merged_reference(schema), name, depth + 1)
        if "allOf" in schema:
            return self.fill(self._merged(schema), name, depth + 1)
        for combination in ("anyOf", "oneOf"):
            if combination in schema:
                return self._fill_alternative(schema, schema[combination], name, depth)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._choose(schema["enum"], name, schema)
        return self._fill_type(_type_of(schema), schema, name, depth)

    def _fill_type(self, kind: str, schema: Schema, name: str, depth: int) -> Any:
        match kind:
            case "object":
                return self._fill_object(schema, name, depth)
            case "array":
                return self._fill_array(schema, name, depth)
            case "number" | "integer":
                return self._fill_number(schema, name, whole=kind == "integer")
            case "boolean":
                return self._fill_boolean(schema, name)
            case "null":
                return None
            case _:
                return self._fill_string(schema, name)

    def _resolve(self, reference: str) -> Schema:
        target: Any = self._root
        for part in reference.removeprefix("#").strip("/").split("/"):
            key = part.replace("~1", "/").replace("~0", "~")
            if key and isinstance(target, Mapping):
                target = target.get(key)
        if not reference.startswith("#") or not isinstance(target, Mapping):
            raise invalid_request(f"The simulator can't resolve {reference!r} in this schema.")
        return target

    def _merged_reference(self, schema: Any) -> Any:
        if isinstance(schema, Mapping) and isinstance(schema.get("$ref"), str):
            return {**self._resolve(schema["$ref"]), **{k: v for k, v in schema.items() if k != "$ref"}}
        return schema

    def _merged(self, schema: Schema) -> Schema:
        merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
        for part in schema["allOf"]:
            resolved = self._merged_reference(part)
            if not isinstance(resolved, Mapping):
                continue
            for key, value in resolved.items():
                if key == "properties":
                    merged[key] = {**merged.get(key, {}), **value}
                elif key == "required":
                    merged[key] = [*merged.get(key, []), *value]
                else:
                    merged.setdefault(key, value)
        return merged

    def _fill_alternative(self, schema: Schema, options: Sequence[Schema], name: str, depth: int) -> Any:
        shared = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf")}
        usable = [option for option in options if isinstance(option, Mapping)]
        validator = self._validator.evolve(schema=schema)
        value: Any = None
        for option in sorted(usable, key=lambda option: _reluctance(option, depth)):
            value = self.fill({**shared, **option}, name, depth + 1)
            if validator.is_valid(value):
                return value
        return value

    def _choose(self, options: Sequence[Any], name: str, schema: Schema) -> Any:
        if not options:
            raise invalid_request("The simulator can't fill this schema: an enum has no values.")
        texts = [option for option in options if isinstance(option, str)]
        if not texts:
            number = find_number(name, self._source.text)
            return number if number in options else schema.get("default", options[0])
        labelled = labelled_value(names_of(name), self._source.text)
        text = labelled or f"{self._source.ask}\n{self._source.text}"
        return texts[best_place(text, self._source.described(texts))]

    def _fill_object(self, schema: Schema, name: str, depth: int) -> dict[str, Any]:
        required = set(schema.get("required", []))
        filled: dict[str, Any] = {}
        for key, part in schema.get("properties", {}).items():
            if key in required or (depth < 4 and self._has_evidence(part, key)):
                filled[key] = self.fill(part, key, depth + 1)
        for key in sorted(required - set(filled)):
            extra = schema.get("additionalProperties", {})
            filled[key] = self.fill(extra if isinstance(extra, Mapping) else {}, key, depth + 1)
        return filled

    def _has_evidence(self, schema: object, name: str) -> bool:
        """Whether the text says something for an optional field."""
        if not isinstance(schema, Mapping):
            return False
        if labelled_value(names_of(name), self._source.text):
            return True
        about = terms_of(f"{name.replace('_', ' ')}")
        return (
            _type_of(schema) in ("string", "boolean")
            and bool(about & terms_of(self._source.text))
            and ("enum" in schema or find_span(name, self._source.text) is not None)
        )

    def _fill_array(self, schema: Schema, name: str, depth: int) -> list[Any]:
        items = self._merged_reference(schema.get("items", {}))
        least, most = schema.get("minItems", 0), min(schema.get("maxItems", 12), 12)
        if self._source.items and isinstance(items, Mapping) and _type_of(items) == "object":
            return self._item_objects(items, name, depth)
        if isinstance(items, Mapping) and _type_of(items) in ("string", "") and not items.get("format"):
            values = self._string_items(items, name, least if "enum" in items else max(least, min(3, most)))
        elif isinstance(items, Mapping) and _type_of(items) == "object":
            if asks_for_faults(name, self._source.ask):
                bullets = faults_in(self._source.text, min(5, most))
            else:
                bullets = list_items(self._source.text) or [self._source.text]
            fillers = (_Filler(self._root, FillSource(bullet, self._source.ask)) for bullet in bullets[:most])
            values = [filler.fill(items, name, depth + 1) for filler in fillers]
        else:
            values = [self.fill(items, name, depth + 1)] if most else []
        if schema.get("uniqueItems"):
            values = [value for index, value in enumerate(values) if value not in values[:index]]
        if least > _LARGEST_MINIMUM:
            raise invalid_request(
                f"The simulator can't fill this schema: minItems is over {_LARGEST_MINIMUM}."
            )
        while len(values) < least:
            values.append(self.fill(items, name, depth + 1))
        return values[:most]

    def _item_objects(self, items: Schema, name: str, depth: int) -> list[Any]:
        """One object for each item of the prompt, filled from that item alone."""
        filled = []
        for item in self._source.items:
            source = FillSource(item.text, "", self._source.labels)
            value = _Filler(self._root, source).fill(items, name, depth + 1)
            known = [key for key in ("index", "id", "number") if key in value]
            if known and item.id.isdecimal():
                value[known[0]] = int(item.id) if isinstance(value[known[0]], int) else item.id
            filled.append(value)
        return filled

    def _string_items(self, items: Schema, name: str, count: int) -> list[Any]:
        text = self._source.text
        if "enum" in items:
            options = [option for option in items["enum"] if isinstance(option, str)]
            described = self._source.described(options)
            present = [options[place] for place in fitting_places(text, described)]
            return present or ([options[best_place(text, described)]] if count else [])
        if asks_for_faults(name, self._source.ask):
            return [self._fit_length(fault, items) for fault in faults_in(text, max(count, 5))]
        if set(words_of(name)) & _QUESTION_WORDS:
            questions = research_questions(self._source.ask, text, max(count, TYPICAL_QUESTIONS))
            return [self._fit_length(question, items) for question in questions]
        if labelled := labelled_value(names_of(name), text):
            parts = re.split(r"\s*,\s*(?:and\s+)?|\s+and\s+", labelled)
            return [self._fit_length(part, items) for part in parts if part]
        if set(words_of(name)) & {"keywords", "tags", "topics", "terms", "keyword"}:
            return [self._fit_length(term, items) for term in key_terms(text, 5)]
        found = list_items(text) or [one.text for one in choose_sentences(sentences_of(text), count)]
        return [self._fit_length(item, items) for item in found]

    def _fill_number(self, schema: Schema, name: str, *, whole: bool) -> float | int:
        # Limits that are only told are kept by a judgement; what a text says is what it says.
        low, high = bounds(schema) if is_score(name) else (schema.get("minimum"), schema.get("maximum"))
        found = find_number(name, self._source.text)
        if is_score(name) and low is not None and high is not None:
            labelled = labelled_value(names_of(name), self._source.text)
            found = found if labelled else drawn_score(f"{self._source.ask}\n{self._source.text}", low, high)
        value = found if found is not None else float(schema.get("default", 0))
        step = schema.get("multipleOf") or (1 if whole else None)
        if "exclusiveMinimum" in schema:
            low = schema["exclusiveMinimum"] + (step or 1e-6)
        if "exclusiveMaximum" in schema:
            high = schema["exclusiveMaximum"] - (step or 1e-6)
        if low is not None and value < low:
            value = low
        if high is not None and value > high:
            value = high
        if step:
            up = low is not None and math.floor(value / step) * step < low
            value = (math.ceil if up else math.floor)(value / step) * step
        return int(value) if whole or float(value).is_integer() else value

    def _fill_boolean(self, schema: Schema, name: str) -> bool:
        labelled = labelled_value(names_of(name), self._source.text)
        if labelled is not None:
            return labelled.split()[0].lower().strip(".,") in ("true", "yes", "y", "on", "1")
        words = " ".join(word for word in words_of(name) if word not in ("is", "has", "needs", "should"))
        wanted = terms_of(words)
        sentence = fitting_sentence(words, self._source.text)
        if sentence is None or not wanted & sentence.terms:
            return bool(schema.get("default", False))
        return not _NEGATION.search(sentence.text)

    def _fill_string(self, schema: Schema, name: str) -> str:
        if wanted := schema.get("format"):
            return self._fill_format(str(wanted), name)
        value = self._find_string(name, str(schema.get("description", "")), schema.get("maxLength"))
        if not value:
            value = str(schema.get("default", (schema.get("examples") or ["unknown"])[0]))
        pattern = schema.get("pattern")
        if isinstance(pattern, str) and not re.search(pattern, value):
            return self._match_pattern(pattern, schema) or value
        return self._fit_length(value, schema)

    def _find_string(self, name: str, description: str, limit: int | None) -> str:
        text, ask = self._source.text, self._source.ask
        words = set(words_of(name))
        if words & _ASK_WORDS and not labelled_value(names_of(name), text):
            return find_quoted(ask) or " ".join((ask or text).split())
        if found := find_span(name, text):
            return found
        if words & {"title", "heading", "headline"} and (headings := headings_of(text)):
            return headings[0]
        count = 2 if words & _SUMMARY_WORDS and (limit is None or limit > 200) else 1
        if count == 2 and (sentences := sentences_of(text)):
            return " ".join(one.text for one in choose_sentences(sentences, count))
        if quoted := find_quoted(text):
            return quoted
        sentence = fitting_sentence(f"{name.replace('_', ' ')} {description}", text)
        return sentence.text if sentence is not None else " ".join(text.split())

    def _fill_format(self, wanted: str, name: str) -> str:
        text = self._source.text
        if wanted == "date":
            return find_date(name, text) or "1970-01-01"
        if wanted not in _FORMATS:
            return self._find_string(name, "", None) or "unknown"
        found = find_pattern(wanted, labelled_value(names_of(name), text) or "") or find_pattern(wanted, text)
        return found or _FORMATS[wanted]

    def _match_pattern(self, pattern: str, schema: Schema) -> str | None:
        inner = pattern.removeprefix("^").removesuffix("$")
        found = (match.group() for match in re.finditer(inner, f"{self._source.text}\n{self._source.ask}"))
        candidates = [*found, *(str(example) for example in schema.get("examples", []))]
        return next((one for one in candidates if re.search(pattern, one)), None)

    def _fit_length(self, value: str, schema: Schema) -> str:
        most, least = schema.get("maxLength"), schema.get("minLength", 0)
        if most is not None and len(value) > most:
            cut = value[: most + 1].rsplit(None, 1)[0]
            value = cut if len(cut) <= most else value[:most]
        if least > _LARGEST_MINIMUM:
            raise invalid_request(
                f"The simulator can't fill this schema: minLength is over {_LARGEST_MINIMUM}."
            )
        return value.ljust(least, ".")


def _reluctance(option: Schema, depth: int) -> tuple[bool, bool]:
    """Sort key of alternatives: a value before null, and deep in a structure what ends it first."""
    kind = _type_of(option)
    goes_on = "$ref" in option or kind in ("object", "array", "")
    return (depth > _DEEP and goes_on, kind == "null")


def _type_of(schema: Schema) -> str:
    kind = schema.get("type", "")
    if isinstance(kind, list):
        return str(next((one for one in kind if one != "null"), "null"))
    if kind:
        return str(kind)
    return "object" if "properties" in schema else "array" if "items" in schema else ""
