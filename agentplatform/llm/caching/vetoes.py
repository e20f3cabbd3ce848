"""What rules out that one answer serves two questions, whatever else they have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

from agentplatform.llm.caching.alignment import Alignment
from agentplatform.llm.caching.lexicon import HARMLESS_SCOPES, NEGATIONS, NEGATIVE_PREFIXES, OPPOSITES, SCOPES
from agentplatform.llm.caching.names import NAMES
from agentplatform.llm.caching.quantities import Amount
from agentplatform.llm.caching.stems import stem, words_of
from agentplatform.llm.caching.wording import Wording

_DIRECTIONS = words_of("from to into onto than by over under before after against towards through")
_PREPOSITIONS = _DIRECTIONS | words_of("of in on at for with without within during about between via per")
_EVEN_HANDED = words_of("and or between versus vs both")
_DETERMINERS = words_of("the a an my your our his her its their this that these those")
_OWNERS = words_of("my your his her our their")
_PAST = words_of("was were did")
_PRESENT = words_of("is are do does will")
_PARTNERS = {"i": 1, "me": 1, "you": 2}
_FEW = 2
_ASK_WHETHER = words_of("is are was were do does did can could will would should has have may must")
_OPEN = frozenset(("how", "what"))
_BEING = words_of("is are was were be been being get got")
_TOLERANCE = 0.005
LONG = 18
"""Longer questions tell a story, of which two tellings differ in some negations and circumstances."""


def find_veto(a: Wording, b: Wording, alignment: Alignment) -> str | None:
    """The first reason against it, or None."""
    return (
        _of_quantities(a, b)
        or _of_negation(a, b, alignment)
        or _of_opposites(a, b, alignment)
        or _of_names(a, b, alignment)
        or _of_scope(a, b, alignment)
        or _of_question(a, b)
        or _of_person(a, b)
        or _of_tense(a, b)
        or _of_order(a, b, alignment)
        or _of_length(a, b)
    )


def _of_quantities(a: Wording, b: Wording) -> str | None:
    """Quantities that only one question has are left to the scorer; those that both have must agree."""
    one, other = a.quantities, b.quantities
    if one.dates and other.dates and one.dates != other.dates:
        return "date"
    if one.codes and other.codes and one.codes != other.codes and not _written_alike(a, b):
        return "code"
    amounts_a, amounts_b = unmatched(one.amounts, other.amounts), unmatched(other.amounts, one.amounts)
    numbers_a, numbers_b = list(one.numbers), list(other.numbers)
    for number in one.numbers:
        if number in numbers_b:
            numbers_a.remove(number)
            numbers_b.remove(number)
    # An amount may stand bare on the other side: "at 18" and "18 years old".
    amounts_a, numbers_b = _bared(amounts_a, numbers_b)
    amounts_b, numbers_a = _bared(amounts_b, numbers_a)
    if not (amounts_a or numbers_a) or not (amounts_b or numbers_b):
        is_counted = (numbers_a and other.ones > one.ones) or (numbers_b and one.ones > other.ones)
        return "number" if is_counted or _are_exchanged(a, b) else None
    values_a, values_b = ({amount.written for amount in amounts} for amounts in (amounts_a, amounts_b))
    return "unit" if values_a & values_b else "number"


def _are_exchanged(a: Wording, b: Wording) -> bool:
    """Whether two numbers changed places, each now standing where the other stood."""
    one, other = a.quantities.numbers, b.quantities.numbers
    if one == other or sorted(one) != sorted(other) or len(set(one)) < 2:
        return False
    before_a, before_b = (
        {
            wording.words[place - 1]
            for place in wording.quantities.used
            if place and place - 1 not in wording.quantities.used
        }
        for wording in (a, b)
    )
    return before_a == before_b


def unmatched(amounts: Sequence[Amount], others: Sequence[Amount]) -> list[Amount]:
    """Those that no other is equal to."""
    return [
        amount
        for amount in amounts
        if not any(amount.kind == other.kind and _near(amount.value, other.value) for other in others)
    ]


def _bared(amounts: Sequence[Amount], numbers: Sequence[float]) -> tuple[list[Amount], list[float]]:
    kept, rest = [], list(numbers)
    for amount in amounts:
        if amount.written in rest:
            rest.remove(amount.written)
        else:
            kept.append(amount)
    return kept, rest


def _near(one: float, other: float) -> bool:
    return abs(one - other) <= _TOLERANCE * max(abs(one), abs(other))


def _written_alike(a: Wording, b: Wording) -> bool:
    return all(code in b.squeezed for code in a.quantities.codes) and all(
        code in a.squeezed for code in b.quantities.codes
    )


def _of_negation(a: Wording, b: Wording, alignment: Alignment) -> str | None:
    """In short questions any negation that only one has; in long ones one of a word that both have."""
    if len(a.words) > LONG or len(b.words) > LONG:
        denied_a, denied_b = _denied(a), _denied(b)
        differ = any((i in denied_a) != (j in denied_b) for i, j in alignment.pairs)
    else:
        differ = a.negations % 2 != b.negations % 2
    left_a, left_b = _all_left(a, b), _all_left(b, a)
    for lefts, others in ((left_a, left_b), (left_b, left_a)):
        forms = others | {stem(word) for word in others}
        differ = differ or any(_negates_one_of(word, forms) for word in lefts)
    return "negation" if differ else None


def _denied(wording: Wording) -> set[int]:
    """The places of the first word with content that follows each negation."""
    found = set()
    for place, word in enumerate(wording.words):
        if word in NEGATIONS:
            found.update([i for i in wording.content if place < i <= place + 3][:1])
    return found


def _negates_one_of(word: str, others: set[str]) -> bool:
    """Whether a word is the contrary of one of the others by what it begins or ends with."""
    for prefix in NEGATIVE_PREFIXES:
        rest = word[len(prefix) :]
        if word.startswith(prefix) and len(rest) > 2 and (rest in others or stem(rest) in others):
            return True
    return len(word) > 6 and word.endswith("less") and any(other.startswith(word[:-4]) for other in others)


def _all_left(one: Wording, other: Wording) -> set[str]:
    """Words of one side, of any kind, that the other does not have."""
    stems = set(other.stems)
    return {word for word, stemmed in zip(one.words, one.stems, strict=True) if stemmed not in stems}


def _of_opposites(a: Wording, b: Wording, alignment: Alignment) -> str | None:
    left_a, left_b = _all_left(a, b), _all_left(b, a)
    for word in left_a:
        opposites = OPPOSITES.get(word) or OPPOSITES.get(stem(word))
        if opposites and any(other in opposites or stem(other) in opposites for other in left_b):
            return "opposite"
    return None


def _of_names(a: Wording, b: Wording, alignment: Alignment) -> str | None:
    left_a, left_b = alignment.left
    named_a = [left for left in left_a if _is_name(left.word, a)]
    named_b = [left for left in left_b if _is_name(left.word, b)]
    return "entity" if named_a or named_b else None


def _is_name(word: str, wording: Wording) -> bool:
    return word in NAMES or word in wording.capitals


def _of_scope(a: Wording, b: Wording, alignment: Alignment) -> str | None:
    if len(a.words) > LONG and len(b.words) > LONG:
        return None
    for lefts in alignment.left:
        if any(left.word in SCOPES and left.word not in HARMLESS_SCOPES for left in lefts):
            return "scope"
    return None


_COMPATIBLE = frozenset(
    frozenset(pair)
    for pair in (
        ("how much", "how many"), ("how long", "when"), ("how", "where"), ("how long", "how many"), ("how", "what"),
        ("what", "who"), ("what", "how much"), ("what", "how many"), ("what", "where"), ("what", "when"), ("how long", "what"),
        ("how big", "what"), ("how often", "what"), ("how old", "what"), ("how far", "what"), ("how fast", "what"),
        ("how tall", "what"), ("how long", "how fast"), ("how often", "how many"), ("how long", "how far"),
        ("how long", "how much"), ("how tall", "how big"), ("how often", "when"), ("how often", "how much"),
    )
)  # fmt: skip


def _of_question(a: Wording, b: Wording) -> str | None:
    if not a.asks or not b.asks:
        return "question" if _asks_whether(a, b) or _asks_whether(b, a) else None
    if a.asks & b.asks:
        return None
    fits = any(frozenset((one, other)) in _COMPATIBLE for one in a.asks for other in b.asks)
    return None if fits else "question"


def _asks_whether(one: Wording, other: Wording) -> bool:
    """Whether one wants a yes or no, and the other a time, a place, a reason, a person or a measure."""
    is_whether = not one.asks and bool(one.words) and one.words[0] in _ASK_WHETHER
    return is_whether and bool(other.asks) and not other.asks & _OPEN


def _of_person(a: Wording, b: Wording) -> str | None:
    """Mine in one and yours in the other, unless who speaks changed too: "how do I find my" is "how do you find your"."""
    if _are_partners_exchanged(a, b):
        return "person"
    one, other = (_OWNERS & set(wording.words) for wording in (a, b))
    if not one or not other or one & other or {"you", "one"} & (set(a.words) ^ set(b.words)):
        return None
    return "person"


def _are_partners_exchanged(a: Wording, b: Wording) -> bool:
    """Whether the words are about the same, and I do to you in one what you do to me in the other."""
    rest_a, rest_b = ({word for word in wording.words if word not in _PARTNERS} for wording in (a, b))
    if len(rest_a ^ rest_b) > _FEW:
        return False
    one, other = (
        list(dict.fromkeys(_PARTNERS[word] for word in wording.words if word in _PARTNERS))
        for wording in (a, b)
    )
    return len(one) == len(other) == 2 and one != other


def _of_tense(a: Wording, b: Wording) -> str | None:
    """What was is not what is, where the question begins with it."""
    one, other = (set(wording.words[:2]) & (_PAST | _PRESENT) for wording in (a, b))
    is_past, is_present = one & _PAST or other & _PAST, one & _PRESENT or other & _PRESENT
    return "tense" if one and other and is_past and is_present and not one & other else None


def _of_order(a: Wording, b: Wording, alignment: Alignment) -> str | None:
    """Two words that changed places, and with them their part in the sentence."""
    pairs = alignment.pairs
    if _is_turned_round(a, b, pairs):
        return "order"
    if _is_passive_of(a, b, pairs) or _is_passive_of(b, a, [(j, i) for i, j in pairs]):
        return "order"
    if len(pairs) < 2 or any(left.weight > 0.5 for lefts in alignment.left for left in lefts):
        return None
    places_b = [j for _, j in pairs]
    if places_b == sorted(places_b):
        return None
    before_a, before_b = _governors(a), _governors(b)
    if set(a.words) & _EVEN_HANDED and set(b.words) & _EVEN_HANDED:
        return _of_directions(pairs, before_a, before_b)
    for (i, j), (k, m) in combinations(pairs, 2):
        if (i < k) == (j < m) or a.stems[i] == a.stems[k]:
            continue
        if before_a[i] == before_b[m] and before_a[k] == before_b[j]:
            return "order"
    return _of_directions(pairs, before_a, before_b)


def _is_passive_of(a: Wording, b: Wording, pairs: Sequence[tuple[int, int]]) -> bool:
    """Whether the doer of the one, who follows "by", still comes last in the other, where he is what it is done to."""
    if "by" not in a.words or not _BEING & set(a.words[: a.words.index("by")]) or "by" in b.words:
        return False
    before_a, before_b = _governors(a), _governors(b)
    return any(
        before_a[i] == "by" and not before_b[j] and sum(k < i and m < j for k, m in pairs) > 1
        for i, j in pairs
    )


def _is_turned_round(a: Wording, b: Wording, pairs: Sequence[tuple[int, int]]) -> bool:
    """Whether the one goes to a name that both have, and the other to another one that both have."""
    before_a, before_b = _governors(a), _governors(b)
    named = [(i, j) for i, j in pairs if _is_name(a.words[i], a) or _is_name(b.words[j], b)]
    for direction in ("to", "from", "than"):
        one = {pair for pair in named if before_a[pair[0]] == direction}
        other = {pair for pair in named if before_b[pair[1]] == direction}
        if one and other and not one & other:
            return True
    return False


def _of_directions(
    pairs: Sequence[tuple[int, int]], before_a: Sequence[str], before_b: Sequence[str]
) -> str | None:
    moved = [
        (before_a[i], before_b[j])
        for i, j in pairs
        if before_a[i] != before_b[j] and {before_a[i], before_b[j]} & _DIRECTIONS
    ]
    crossed = Counter(one for one, _ in moved) & Counter(other for _, other in moved)
    return "order" if crossed else None


def _governors(wording: Wording) -> list[str]:
    """For each word the preposition that it follows with nothing but content and articles in between."""
    found, current = [], ""
    content = set(wording.content)
    for place, word in enumerate(wording.words):
        if word in _PREPOSITIONS:
            current = word
        elif place not in content and (word not in _DETERMINERS or wording.words[place - 1] != current):
            current = ""
        found.append(current)
    return found


def _of_length(a: Wording, b: Wording) -> str | None:
    """What was not read must be equal."""
    if a.is_whole and b.is_whole:
        return None
    return None if a.squeezed == b.squeezed else "length"
