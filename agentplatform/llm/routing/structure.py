"""What can be seen of a request without knowing its subject: length, form, numbers, options, words of reasoning.

Everything here is linear in the text, of which at most READ_CHARACTERS are read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agentplatform.llm.routing.lexicon import IN_OPTIONS, TOPICS, topic_counts

HEAD_CHARACTERS = 4_000
TAIL_CHARACTERS = 1_000
READ_CHARACTERS = HEAD_CHARACTERS + TAIL_CHARACTERS

OPTION = re.compile(r"^[ \t]{0,8}\(?([A-P])[.):](.+)$", re.M)
WORD = re.compile(r"[A-Za-z][A-Za-z'’\-]*")
NUMBER = re.compile(r"(?<![A-Za-z\d])\d[\d,]{0,20}(?:\.\d+)?")
NUMBER_WORD = re.compile(
    r"\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozen|hundred|thousand|million)\b",
    re.I,
)
NAME = re.compile(r"(?<=[a-z,;] )[A-Z][a-z]+")
SENTENCE_END = re.compile(r"[.!?](?:\s|$)")
SENTENCE_GAP = re.compile(r"(?<=[.!?])\s+")
NUMERIC_OPTION = re.compile(r"^[\s$€£(–+~≈-]{0,8}[\d.,/]+")
FORMULA = re.compile(r"[=^\\∀∃→⊃≡•]|\d[a-z]")
NEGATED = re.compile(r"\b(?:not|no|never|cannot)\b", re.I)

PATTERNS: Mapping[str, re.Pattern[str]] = {
    name: re.compile(pattern)
    for name, pattern in (
        ("shouted", r"\b(?:EXCEPT|NOT|LEAST|MOST|BEST|ALWAYS|NEVER|ONLY)\b"),
        ("roman", r"\b(?:I{1,3}|IV)\b(?=[.,) ]| and| only)"),
        ("blank", r"_{2,}|\.{4,}"),
        ("amount", r"[$€£]\s?\d|%"),
        ("ratio", r"\d\s?/\s?\d"),
        ("year", r"\b(?:1[0-9]|20)[0-9]{2}\b"),
        ("operator", r"[=<>+*^×÷≤≥±]"),
        ("latex", r"\\[a-zA-Z]{1,20}|\$[^$\n]{1,80}\$|[{}]"),
        ("symbol", r"[α-ωΑ-Ω∀∃∈∉⊂∪∩∧∨¬→↔⇒∑∫√∞∂∇≡~·•]"),
        ("variable", r"(?<![A-Za-z'’])[a-zB-HJ-Z](?![A-Za-z'’.)])"),
        (
            "unit",
            r"\d\s?(?:k?[gmJWNV]|[cmn]m|m?[sLA]|kPa|[hH]?Hz|mol|atm|eV|°?[CF]|lb|ft|in|hours?|minutes?|years?|miles?)\b",
        ),
        ("code", r"```|\(\)|=>|==|[;{}]\s?\n"),
        ("quote", r"[\"“”]"),
        ("bracket", r"[(\[]"),
        ("comma", r","),
        ("question", r"\?"),
        ("colon", r":"),
        ("hyphen", r"\w-\w"),
        ("non_ascii", r"[^\x00-\x7f]"),
    )
}
PATTERNS_IN_OPTIONS = ("roman", "latex", "symbol", "year")
"""The patterns that are counted once more in the options of a multiple choice."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A request taken apart: what was read of it, the stem, the options of a multiple choice, and their words."""

    length: int
    read: str
    stem: str
    options: tuple[str, ...]
    stem_words: tuple[str, ...]
    option_words: tuple[tuple[str, ...], ...]

    @property
    def words(self) -> list[str]:
        """All words, in lower case."""
        return [*self.stem_words, *(word for option in self.option_words for word in option)]


def take_apart(text: str) -> Parts:
    """The parts of a request; of a long one, its beginning and its end."""
    read = text
    if len(text) > READ_CHARACTERS:
        read = f"{text[:HEAD_CHARACTERS]}\n{text[-TAIL_CHARACTERS:]}"
    found = list(OPTION.finditer(read))
    is_choice = len(found) >= 2
    stem = (read[: found[0].start()] if is_choice else read).strip()
    options = tuple(match[2].strip() for match in found) if is_choice else ()
    return Parts(
        length=len(text),
        read=read,
        stem=stem,
        options=options,
        stem_words=_words(stem),
        option_words=tuple(_words(option) for option in options),
    )


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.lower() for word in WORD.findall(text))


def structure(parts: Parts, ranks: Mapping[str, int]) -> dict[str, float]:
    """Named features. `ranks`: the place of each known word when the most frequent comes first."""
    return {
        **_length(parts),
        **_vocabulary(parts, ranks),
        **_numbers(parts),
        **_options(parts, ranks),
        **_similarity(parts),
        **_patterns(parts),
        **_topics(parts),
    }


def _length(parts: Parts) -> dict[str, float]:
    stem, words = parts.stem, parts.stem_words
    sentences = max(1, len(SENTENCE_END.findall(stem)))
    pieces = SENTENCE_GAP.split(stem)
    characters = max(1, len(parts.read))
    return {
        "log_characters": math.log1p(parts.length),
        "log_stem": math.log1p(len(stem)),
        "log_words": math.log1p(len(words)),
        "log_lines": math.log1p(stem.count("\n")),
        "log_sentences": math.log1p(sentences),
        "log_sentence_words": math.log1p(len(words) / sentences),
        "log_last_sentence": math.log1p(len(pieces[-1])),
        "log_first_sentence": math.log1p(len(pieces[0])),
        "ends_with_question": float(stem.endswith("?")),
        "ends_open": float(bool(stem) and stem[-1] not in ".?!"),
        "upper_share": sum(map(str.isupper, parts.read)) / characters,
        "digit_share": sum(map(str.isdigit, parts.read)) / characters,
    }


def _vocabulary(parts: Parts, ranks: Mapping[str, int]) -> dict[str, float]:
    words = parts.words
    count = max(1, len(words))
    rarities = sorted(_rarity(word, ranks) for word in words) or [0.0]
    return {
        "word_length": sum(map(len, words)) / count,
        "long_word_share": sum(len(word) > 8 for word in words) / count,
        "longest_word": float(min(40, max(map(len, words), default=0))),
        "variety": len(set(words)) / count**0.7,
        "rarity": sum(rarities) / len(rarities),
        "rarity_p90": rarities[int(0.9 * (len(rarities) - 1))],
        "unknown_share": sum(word not in ranks for word in words) / count,
    }


def _rarity(word: str, ranks: Mapping[str, int]) -> float:
    return math.log1p(ranks.get(word, len(ranks)))


def _numbers(parts: Parts) -> dict[str, float]:
    found = NUMBER.findall(parts.stem)
    values = [float(number.replace(",", "")) for number in found]
    return {
        "log_numbers": math.log1p(len(found)),
        "log_distinct_numbers": math.log1p(len(set(found))),
        "log_largest_number": min(40.0, math.log1p(max(values, default=0.0))),
        "decimals": float(sum("." in number for number in found)),
        "large_numbers": float(sum(value >= 100 for value in values)),
        "log_number_words": math.log1p(len(NUMBER_WORD.findall(parts.stem))),
        "numbers_per_word": len(found) / max(1, len(parts.stem_words)),
        "log_names": math.log1p(len(NAME.findall(parts.stem))),
    }


def _options(parts: Parts, ranks: Mapping[str, int]) -> dict[str, float]:
    options = parts.options
    count = max(1, len(options))
    lengths = [len(option) for option in options] or [0]
    mean = sum(lengths) / len(lengths)
    deviation = math.sqrt(sum((length - mean) ** 2 for length in lengths) / len(lengths))
    words = [word for option in parts.option_words for word in option]
    return {
        "options": float(len(options)),
        "log_option_length": math.log1p(mean),
        "log_longest_option": math.log1p(max(lengths)),
        "log_shortest_option": math.log1p(min(lengths)),
        "option_spread": (max(lengths) - min(lengths)) / (1 + max(lengths)),
        "option_variation": deviation / (1 + mean),
        "numeric_options": sum(bool(NUMERIC_OPTION.match(option)) for option in options) / count,
        "formula_options": sum(bool(FORMULA.search(option)) for option in options) / count,
        "capital_options": sum(option[:1].isupper() for option in options) / count,
        "list_options": sum("," in option or " and " in option for option in options) / count,
        "one_word_options": sum(len(option) <= 1 for option in parts.option_words) / count,
        "negated_options": sum(bool(NEGATED.search(option)) for option in options) / count,
        "distinct_options": len(set(options)) / count,
        "option_rarity": sum(_rarity(word, ranks) for word in words) / max(1, len(words)),
        "asks_for_letter": float(parts.read.rstrip().endswith("Answer:")),
    }


def _similarity(parts: Parts) -> dict[str, float]:
    """How much the options share with each other (Jaccard) and with the stem. At most 16 of them are compared."""
    options = [set(words) for words in parts.option_words[:16]]
    stem = set(parts.stem_words)
    pairs = [_jaccard(options[i], options[j]) for i in range(len(options)) for j in range(i)]
    together = set().union(*options) if options else set()
    return {
        "option_similarity": sum(pairs) / max(1, len(pairs)),
        "most_similar_options": max(pairs, default=0.0),
        "options_in_stem": len(together & stem) / max(1, len(together)),
    }


def _jaccard(first: set[str], second: set[str]) -> float:
    union = len(first | second)
    return len(first & second) / union if union else 1.0


def _patterns(parts: Parts) -> dict[str, float]:
    options = "\n".join(parts.options)
    counts = {f"stem_{name}": _log_count(pattern, parts.stem) for name, pattern in PATTERNS.items()}
    counts |= {f"options_{name}": _log_count(PATTERNS[name], options) for name in PATTERNS_IN_OPTIONS}
    counts["options_names"] = math.log1p(len(NAME.findall(options)))
    return counts


def _log_count(pattern: re.Pattern[str], text: str) -> float:
    return math.log1p(len(pattern.findall(text)))


def _topics(parts: Parts) -> dict[str, float]:
    in_stem = topic_counts(parts.stem_words)
    in_options = topic_counts([word for option in parts.option_words for word in option])
    counts = {f"topic_{topic}": math.log1p(in_stem.get(topic, 0)) for topic in TOPICS}
    counts |= {f"options_topic_{topic}": math.log1p(in_options.get(topic, 0)) for topic in IN_OPTIONS}
    return counts


def feature_names() -> Sequence[str]:
    """The names of the features, in their order."""
    return tuple(structure(take_apart(""), {}))
