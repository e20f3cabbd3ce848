"""Numbers, amounts, dates and times of day in a question, so that two ways to write one of them are equal."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agentplatform.llm.caching.stems import in_order

NUMBER_WORDS: Mapping[str, int] = {
    word: value
    for value, word in enumerate(
        in_order(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
            "eighteen nineteen"
        )
    )
} | {
    word: 10 * value
    for value, word in enumerate(in_order("twenty thirty forty fifty sixty seventy eighty ninety"), 2)
}
_MULTIPLES = {"hundred": 100, "thousand": 1_000, "k": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
_ORDINALS = {
    word: value
    for value, word in enumerate(
        in_order("first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"), 1
    )
}
_OTHERS = {"dozen": 12, "couple": 2, "twice": 2, "double": 2, "thrice": 3, "triple": 3}
_UNITS = """
second:1 seconds:1 sec:1 secs:1 minute:60 minutes:60 min:60 mins:60 hour:3600 hours:3600 hr:3600 hrs:3600 day:86400
days:86400 week:604800 weeks:604800 month:2629800 months:2629800 year:31557600 years:31557600 yr:31557600 yrs:31557600|
mg:0.001 milligram:0.001 milligrams:0.001 g:1 gram:1 grams:1 kg:1000 kgs:1000 kilo:1000 kilos:1000 kilogram:1000
kilograms:1000 oz:28.35 ounce:28.35 ounces:28.35 lb:453.6 lbs:453.6 stone:6350 tonne:1000000 tonnes:1000000|
mm:0.001 millimeter:0.001 millimeters:0.001 cm:0.01 centimeter:0.01 centimeters:0.01 m:1 meter:1 meters:1 metre:1 metres:1
km:1000 kilometer:1000 kilometers:1000 kilometre:1000 kilometres:1000 inch:0.0254 inches:0.0254 ft:0.3048 foot:0.3048
feet:0.3048 yard:0.9144 yards:0.9144 mile:1609.3 miles:1609.3|
ml:0.001 millilitre:0.001 millilitres:0.001 milliliter:0.001 milliliters:0.001 cl:0.01 l:1 litre:1 litres:1 liter:1
liters:1 gallon:3.785 gallons:3.785 pint:0.5683 pints:0.5683 cup:0.24 cups:0.24 tablespoon:0.0148 tablespoons:0.0148
tbsp:0.0148 teaspoon:0.0049 teaspoons:0.0049 tsp:0.0049|
b:1 bytes:1 kb:1000 mb:1000000 gb:1000000000 tb:1000000000000|£:1 gbp:1 quid:1|$:1 usd:1 dollar:1 dollars:1 bucks:1|
€:1 eur:1 euro:1 euros:1|¥:1 jpy:1 yen:1|₹:1 inr:1 rupee:1 rupees:1|%:1 percent:1 percentage:1|c:1 celsius:1|f:1 fahrenheit:1|
mcg:1 ug:1|iu:1|mph:1|kph:1 kmh:1|w:1 watt:1 watts:1 kw:1000 kilowatts:1000|v:1 volt:1 volts:1|hp:1|pound:1 pounds:1
"""
UNITS: Mapping[str, tuple[int, float]] = {
    name: (kind, float(factor))
    for kind, group in enumerate(_UNITS.replace("\n", " ").split("|"))
    for name, factor in (unit.split(":") for unit in group.split())
}
MONTHS: Mapping[str, str] = {
    name: month
    for month in in_order(
        "january february march april may june july august september october november december"
    )
    for name in (month, month[:3])
    if name not in ("may", "mar", "sep")
} | {"sept": "september"}
DAYS: Mapping[str, str] = {
    name: day
    for day in in_order("monday tuesday wednesday thursday friday saturday sunday")
    for name in (day, f"{day}s")
} | {name: name for name in in_order("today tomorrow yesterday tonight")}
TOKEN_TIME = re.compile(r"(\d{1,2})(?:[:.](\d{2}))?(am|pm)")
_ORDINAL = re.compile(r"(\d+)(st|nd|rd|th)")
_ATTACHED = re.compile(r"(\d+(?:\.\d+)?)([a-zµ]+)")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_GROUPED = re.compile(r"\d{1,3}(,\d{3})+(\.\d+)?")
_CLOCK = re.compile(r"\d{1,2}:\d{2}")
_SINGLE_LETTERS = frozenset("bcdefghjklmnpqrvwxyz")
SIGNS = frozenset("£$€¥₹%")


@dataclass(frozen=True, slots=True, order=True)
class Amount:
    """`kind`: what is measured, by number. `value`: in the unit of the kind. `written`: as it stands before its unit."""

    kind: int
    value: float
    written: float


@dataclass(frozen=True, slots=True)
class Quantities:
    """`numbers`: bare values as they come. `amounts`: with a unit. `dates`: names of months and days,
    times of day in minutes. `codes`: words with digits in them, such as product codes, single letters, addresses. `ones`: how often "one" stands where it may be no number. `used`: places of the words read."""

    numbers: tuple[float, ...]
    amounts: tuple[Amount, ...]
    dates: tuple[str, ...]
    codes: tuple[str, ...]
    ones: int
    used: frozenset[int]

    @property
    def named(self) -> frozenset[object]:
        """All that are found, to be compared as sets."""
        return frozenset(
            (*self.numbers, *(amount.written for amount in self.amounts), *self.dates, *self.codes)
        )


def is_code(word: str) -> bool:
    """Whether a word stands for one thing alone: with digits or signs in it, or a single letter that is no word."""
    return (
        any(letter in "0123456789+#@:<>=*/^×÷" for letter in word)
        or word == "-"
        or (len(word) == 1 and word in _SINGLE_LETTERS)
    )


class _Reading:
    """What has been found so far while the words are read from left to right."""

    def __init__(self) -> None:
        self.numbers: list[float] = []
        self.amounts: list[Amount] = []
        self.dates: list[str] = []
        self.codes: list[str] = []
        self.ones = 0
        self.used: set[int] = set()


def read_quantities(words: Sequence[str]) -> Quantities:
    """Reads lower-case words, in which signs such as £ and % stand alone."""
    found = _Reading()
    place = 0
    while place < len(words):
        place += _read_at(words, place, found) or 1
    return Quantities(
        tuple(found.numbers),
        tuple(sorted(found.amounts)),
        tuple(sorted(set(found.dates))),
        tuple(sorted(found.codes)),
        found.ones,
        frozenset(found.used),
    )


def _read_at(words: Sequence[str], place: int, found: _Reading) -> int:
    """Reads what begins at a word; returns how many words it took, 0 for none."""
    word = words[place]
    if word in DAYS or word in MONTHS or (word in ("may", "march") and _is_month(words, place)):
        found.dates.append(DAYS.get(word) or MONTHS.get(word, word))
        found.used.add(place)
        return 1
    if minutes := _time_of_day(words, place):
        found.dates.append(f"{minutes[0]} min")
        found.used.update(range(place, place + minutes[1]))
        return minutes[1]
    value, taken, unit = _value(words, place)
    if not taken:
        if is_code(word):
            found.codes.append(word)
            found.used.add(place)
            return 1
        return 0
    following = words[place + taken] if place + taken < len(words) else ""
    before = words[place - 1] if place else ""
    if not unit and before in SIGNS:
        unit = before
    elif not unit and following in UNITS and following not in ("c", "f", "b", "second"):
        unit, taken = following, taken + 1
    if word == "one" and not unit:
        found.ones += 1
        return 1
    found.used.update(range(place, place + taken))
    if unit:
        kind, factor = UNITS[unit]
        found.amounts.append(Amount(kind, round(value * factor, 6), value))
    else:
        found.numbers.append(value)
    return taken


def _is_month(words: Sequence[str], place: int) -> bool:
    before = words[place - 1] if place else ""
    after = words[place + 1] if place + 1 < len(words) else ""
    return (
        before in ("in", "on", "of", "by", "until", "since", "from", "for", "during", "last", "next", "this")
        or after[:1].isdigit()
    )


def _time_of_day(words: Sequence[str], place: int) -> tuple[int, int] | None:
    """(minutes since midnight, words taken)."""
    word = words[place]
    after = words[place + 1] if place + 1 < len(words) else ""
    if attached := TOKEN_TIME.fullmatch(word):
        return _minutes(int(attached[1]), int(attached[2] or 0), attached[3]), 1
    if _CLOCK.fullmatch(word) or (
        word.isdigit() and len(word) <= 2 and after in ("am", "pm", "a.m", "p.m", "o'clock", "oclock")
    ):
        hour, _, minute = word.partition(":")
        half = after[:1] + "m" if after[:2] in ("am", "pm", "a.", "p.") else ""
        taken = 2 if half or after in ("o'clock", "oclock") else 1
        return _minutes(int(hour), int(minute or 0), half), taken
    if word in ("noon", "midday", "midnight"):
        return (0 if word == "midnight" else 720), 1
    return None


def _minutes(hour: int, minute: int, half: str) -> int:
    return (hour % 12 + 12 * (half == "pm")) * 60 + minute if half else hour * 60 + minute


def _value(words: Sequence[str], place: int) -> tuple[float, int, str]:
    """(value, words taken, unit that is attached), no word taken where there is no number."""
    word = words[place]
    if _NUMBER.fullmatch(word) or _GROUPED.fullmatch(word):
        return *_multiplied(float(word.replace(",", "")), words, place + 1, 1), ""
    if ordinal := _ORDINAL.fullmatch(word):
        return float(ordinal[1]), 1, ""
    if attached := _ATTACHED.fullmatch(word):
        if attached[2] in UNITS:
            return float(attached[1]), 1, attached[2]
        if attached[2] in _MULTIPLES:
            return float(attached[1]) * _MULTIPLES[attached[2]], 1, ""
        return 0.0, 0, ""
    if word in _ORDINALS and word != "second":
        return float(_ORDINALS[word]), 1, ""
    if word in _OTHERS:
        return float(_OTHERS[word]), 1, ""
    if word in NUMBER_WORDS:
        value, taken = float(NUMBER_WORDS[word]), 1
        after = words[place + 1] if place + 1 < len(words) else ""
        if value >= 20 and 0 < NUMBER_WORDS.get(after, 0) < 10:
            value, taken = value + NUMBER_WORDS[after], 2
        return *_multiplied(value, words, place + taken, taken), ""
    return 0.0, 0, ""


def _multiplied(value: float, words: Sequence[str], place: int, taken: int) -> tuple[float, int]:
    while place < len(words) and words[place] in _MULTIPLES:
        value, place, taken = value * _MULTIPLES[words[place]], place + 1, taken + 1
    return value, taken
