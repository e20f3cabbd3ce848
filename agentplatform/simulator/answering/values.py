"""Finding a named value in a text: `Invoice number: A-17`, a date, an amount, a place, the fitting sentence."""

import re
from collections.abc import Sequence
from datetime import date

from agentplatform.simulator.answering.markdown import plain_inline
from agentplatform.simulator.answering.sentences import Sentence, sentences_of
from agentplatform.simulator.answering.summary import choose_sentences
from agentplatform.simulator.answering.terms import TermWeights, terms_of, word_set, words_of

_GENERIC = word_set("name id identifier number no date value text code type amount field")
_MONTHS = [
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
]  # fmt: skip
_NUMBER = re.compile(
    r"(?<![\w.])[-−]?\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\w)|(?<![\w.])[-−]?\d+(?:\.\d+)?(?![\w]*\d)"
)
_ISO_DATE = re.compile(r"\b\d{4}-\d{2}-\d{2}\b")
_DAY_MONTH = re.compile(
    rf"\b(\d{{1,2}})(?:st|nd|rd|th)?\s+({'|'.join(_MONTHS)})\s+(\d{{4}})\b", re.IGNORECASE
)
_MONTH_DAY = re.compile(
    rf"\b({'|'.join(_MONTHS)})\s+(\d{{1,2}})(?:st|nd|rd|th)?,?\s+(\d{{4}})\b", re.IGNORECASE
)
_TIMESTAMP = re.compile(r"\b\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2})?(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})?")
_PROPER = r"[A-ZÀ-Þ][\w'’&.-]*(?:\s+(?:(?:de|of|da|del|van|von|the)\s+)?[A-ZÀ-Þ0-9][\w'’&.-]*)*"
_AFTER_PREPOSITION = re.compile(rf"\b(?:in|at|for|of|to|from|near|about|by)\s+({_PROPER})")
_INNER_PROPER = re.compile(rf"(?<=[a-z,:;]\s)({_PROPER})")
_QUOTED = re.compile(r"[\"“]([^\"”]{1,200})[\"”]|(?<!\w)'([^']{1,200})'(?!\w)")
_CODE_SPAN = re.compile(r"`([^`\n]{1,500})`")
_ARITHMETIC = re.compile(r"[(-]*\d[\d\s.,()+*/^%×÷-]*[\d)%]")
_OPERATION = re.compile(r"[\d)]\s*(?:[+*/^%×÷]|\s-\s|-(?=\())+\s*[(\d-]|\d-\d")
_PATTERNS = {
    "email": re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"),
    "uri": re.compile(r"https?://[^\s<>\"')\]]+[^\s<>\"')\].,;]"),
    "uuid": re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"),
    "ipv4": re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b"),
    "time": re.compile(r"\b\d{2}:\d{2}:\d{2}(?:Z|[+-]\d{2}:\d{2})?"),
    "date-time": _TIMESTAMP,
    "phone": re.compile(r"\+?\d[\d\s().-]{6,}\d"),
    "currency": re.compile(r"\b(?:USD|EUR|GBP|JPY|CHF|CAD|AUD)\b"),
    "code": re.compile(r"\b(?=[\w/-]*\d)[A-Z][A-Z0-9]*[-/]?[\w/-]*\d[\w-]*\b"),
}
_PATTERN_OF_WORD = {
    "email": "email", "mail": "email", "url": "uri", "uri": "uri", "link": "uri", "website": "uri",
    "phone": "phone", "telephone": "phone", "currency": "currency", "uuid": "uuid", "ip": "ipv4",
}  # fmt: skip
_PROPER_WORDS = word_set(
    "name city location place country company customer vendor supplier person author product town region"
    " organization organisation employer client tenant"
)
_MONEY_WORDS = word_set("price amount total cost fee sum")
_CODE_WORDS = word_set("id identifier number code reference sku ticket order invoice key")


def labelled_value(names: Sequence[str], text: str) -> str | None:
    """Return what stands after one of the names and a colon, an equals sign or 'is', to the end of the clause."""
    for name in names:
        spaced = r"[\s_-]+".join(re.escape(word) for word in name.split())
        pattern = rf"(?:^|[^\w])[*_`\"']*{spaced}[*_`\"']*\s*(?:[:=]\s*[*_`\"]*|(?:is|was|are)\s+)(\S[^\n]*)"
        if match := re.search(pattern, text, re.IGNORECASE):
            clause = re.split(r"[;|]|,\s+(?=\w+\s*[:=])|[.!?](?:\s|$)", match.group(1))[0]
            if value := plain_inline(clause).strip(" *_`\"',"):
                return value
    return None


def names_of(property_name: str) -> list[str]:
    """Return the names a property may go by in a text, the most exact first."""
    words = words_of(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", property_name))
    if not words:
        return []
    names = [" ".join(words)]
    if len(words) > 1:
        names.append(" ".join(words[:-1]) if words[-1] in _GENERIC else words[-1])
    return names


def find_number(property_name: str, text: str) -> float | None:
    """Return the number labelled with the name, else the nearest one after or before its words."""
    names = names_of(property_name)
    labelled = labelled_value(names, text)
    if labelled is not None and (number := _NUMBER.search(labelled)):
        return _to_number(number.group())
    numbers = list(_NUMBER.finditer(text))
    if set(words_of(property_name)) & _MONEY_WORDS:
        numbers = [number for number in numbers if "." in number.group()] or numbers
    if not numbers:
        return None
    wanted = terms_of(property_name)
    places = [match.start() for match in re.finditer(r"\w+", text) if terms_of(match.group()) & wanted]
    if not places:
        return _to_number(numbers[0].group())
    nearest = min(numbers, key=lambda number: min(abs(number.start() - place) for place in places))
    return _to_number(nearest.group())


def find_date(property_name: str, text: str) -> str | None:
    """Return the ISO date labelled with the name, else the first date of the text."""
    labelled = labelled_value(names_of(property_name), text)
    return (_first_date(labelled) if labelled else None) or _first_date(text)


def find_pattern(kind: str, text: str) -> str | None:
    """Return the first span of a kind: email, uri, uuid, ipv4, time, date-time, phone, currency, code."""
    match = _PATTERNS[kind].search(text)
    return match.group() if match else None


def find_span(property_name: str, text: str) -> str | None:
    """Return the span of a text a property's name points at, by label or by the form its name implies."""
    if labelled := labelled_value(names_of(property_name), text):
        return labelled
    words = set(words_of(property_name))
    for word in sorted(words & set(_PATTERN_OF_WORD)):
        if found := find_pattern(_PATTERN_OF_WORD[word], text):
            return found
    if words & {"expression", "formula", "calculation"} and (
        found := find_code_span(text) or find_arithmetic(text)
    ):
        return found
    if words & {"date", "day", "deadline", "due"} and (found := _first_date(text)):
        return found
    if words & _CODE_WORDS and (found := find_pattern("code", text)):
        return found
    if words & _PROPER_WORDS:
        return find_proper_name(text)
    return None


def find_code_span(text: str) -> str | None:
    """Return the first text between backquotes: what a query in a language of its own is written in."""
    match = _CODE_SPAN.search(text)
    return match.group(1) if match else None


def find_arithmetic(text: str) -> str | None:
    """Return the longest arithmetic expression of a text."""
    found = [match.group().strip(" .,") for match in _ARITHMETIC.finditer(_ISO_DATE.sub("", text))]
    return max((one for one in found if _OPERATION.search(one)), key=len, default=None)


def find_quoted(text: str) -> str | None:
    """Return the first quotation of a text."""
    match = _QUOTED.search(text)
    return (match.group(1) or match.group(2)) if match else None


def find_proper_name(text: str) -> str | None:
    """Return a capitalised name: after a preposition if there is one, else any inside a sentence."""
    match = _AFTER_PREPOSITION.search(text) or _INNER_PROPER.search(text)
    return match.group(1).rstrip(".,'’?!") if match else None


def fitting_sentence(about: str, text: str) -> Sentence | None:
    """Return the sentence that shares most with what a property is about, else the text's most telling one."""
    sentences = sentences_of(text)
    if not sentences:
        return None
    weights = TermWeights([sentence.terms for sentence in sentences])
    wanted = terms_of(about)
    best = max(
        sentences, key=lambda one: (sum(map(weights.weight, sorted(wanted & one.terms))), -one.position)
    )
    return best if wanted & best.terms else choose_sentences(sentences, 1)[0]


def list_items(text: str) -> list[str]:
    """Return the list items of a Markdown text without their markup."""
    matches = re.finditer(r"^\s*(?:[-*+•]|\d{1,3}[.)])\s+(.+)$", text, re.MULTILINE)
    return [plain_inline(match.group(1)) for match in matches]


def _to_number(text: str) -> float:
    return float(text.replace(",", "").replace("−", "-"))


def _first_date(text: str) -> str | None:
    if iso := _ISO_DATE.search(text):
        return iso.group()
    if match := _DAY_MONTH.search(text):
        day, month, year = match.groups()
    elif match := _MONTH_DAY.search(text):
        month, day, year = match.groups()
    else:
        return None
    try:
        return date(int(year), _MONTHS.index(month.lower()) + 1, int(day)).isoformat()
    except ValueError:
        return None
