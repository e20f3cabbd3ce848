"""Answers to a question in the words of the passages: the sentences that overlap with it most."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from agentplatform.simulator.answering.prompt import Passage
from agentplatform.simulator.answering.sentences import Sentence, passage_sentences
from agentplatform.simulator.answering.terms import TermWeights, term_list, terms_of

MAX_SENTENCES = 4
_TYPICAL_SENTENCES = 3
_LEAST_COVERAGE = 0.4
_LEAST_SHARE_OF_BEST = 0.6
_LEAST_SHARE_WITH_NEWS = 0.5
_SAME = 0.6
_TYPICAL_WORDS = 18
_WEIGHT_OF_A_NAME = 1.6
_WEIGHT_OF_AN_ABSENT_WORD = 0.6
_NAME = re.compile(r"(?<=[\w,:] )[A-Z][\w.-]*|\b\w*[a-z0-9]_\w+|\b[\w-]*\d[\w.-]*")
_REFERS_BACK = re.compile(r"(?:It|They|This|That|These|Those|He|She|Its|Their|Such|Both|Otherwise|So)\b")
_ASKS_QUANTITY = re.compile(r"\bhow (?:long|many|much|often|big|large|old|fast)\b|\bwhen\b", re.IGNORECASE)
_ASKS_REASON = re.compile(r"\bwhy\b", re.IGNORECASE)
_REASON = re.compile(r"\b(?:because|since|so that|therefore|otherwise|why)\b", re.IGNORECASE)
_ASKS_DEFINITION = re.compile(r"\bwhat (?:is|are)\b|\bwhat does .* mean\b", re.IGNORECASE)
_DEFINES = re.compile(r"\b(?:is|are|means|describes|contains|holds)\b|[=:]")


@dataclass(frozen=True)
class Candidate:
    """A sentence with how well it answers, 0 to a little above 1, and how much of the question it covers."""

    sentence: Sentence
    passage_index: int
    score: float
    coverage: float


class Question:
    """A question, ready to be compared: its terms with the weight of each among the sentences at hand.

    A name in it (capitalised inside the sentence, an identifier, a number) weighs more than another word: an
    answer about something else of its kind is none. Any other word that no sentence has weighs less: the text
    may well say it in different words.
    """

    def __init__(self, text: str, sentences: Sequence[Sentence]) -> None:
        self.text = text
        self.sequence = term_list(text)
        self.terms = terms_of(text)
        rarity = TermWeights([sentence.terms for sentence in sentences])
        names = terms_of(" ".join(_NAME.findall(text))) if _NAME.search(text) else frozenset[str]()
        self._weights = {
            term: rarity.weight(term) * _emphasis(term in names, rarity.has(term))
            for term in sorted(self.terms)
        }
        self._total = sum(self._weights.values())

    def coverage(self, found: frozenset[str]) -> float:
        """Return the share, 0 to 1, of the question's weight that these terms hold."""
        shared = sum(weight for term, weight in self._weights.items() if term in found)
        return shared / self._total if self._total else 0.0


def _emphasis(is_name: bool, is_found: bool) -> float:
    if is_name:
        return _WEIGHT_OF_A_NAME
    return 1.0 if is_found else _WEIGHT_OF_AN_ABSENT_WORD


def extract_answer(question: str, passages: Sequence[Passage]) -> list[tuple[str, str]] | None:
    """Return one to four sentences, each with its passage's id, or None where no passage answers.

    A sentence is scored by the share of the question's terms it holds, weighted by their rarity among all
    sentences, and by what its heading and passage add to that. One that refers back brings the sentence before.
    """
    read = [passage_sentences(passage.text) for passage in passages]
    asked = Question(question, [sentence for sentences in read for sentence in sentences])
    candidates = rank(asked, passages, read)
    if not candidates or max(candidate.coverage for candidate in candidates[:3]) < _LEAST_COVERAGE:
        return None
    chosen = _with_antecedents(_select(asked, candidates), read)
    order: list[int] = list(dict.fromkeys(index for index, _ in chosen))
    chosen.sort(key=lambda pair: (order.index(pair[0]), pair[1].position))
    return [(sentence.text, passages[index].id) for index, sentence in chosen]


def rank(
    question: Question, passages: Sequence[Passage], read: Sequence[Sequence[Sentence]]
) -> list[Candidate]:
    """Return the sentences that share a term with the question, best first."""
    candidates: list[Candidate] = []
    for index, passage in enumerate(passages):
        heading = terms_of(passage.heading)
        around = frozenset[str]().union(heading, *(sentence.terms for sentence in read[index]))
        in_passage = question.coverage(around)
        for sentence in read[index]:
            own = question.coverage(sentence.terms)
            if own > 0:
                by_heading = question.coverage(sentence.terms | heading) - own
                cues = _cues(question, sentence)
                score = own + 0.35 * by_heading + 0.15 * in_passage + cues
                coverage = max(own, 0.6 * (own + 0.5 * by_heading) + 0.4 * in_passage) + cues
                if own < 0.5 and len(around & question.terms) < 2:
                    # One word in common, and not a telling one: the passage is about something else.
                    coverage = 0.0
                candidates.append(Candidate(sentence, index, score * _form_factor(sentence), coverage))
    return sorted(candidates, key=lambda one: (-one.score, one.passage_index, one.sentence.position))


def _cues(question: Question, sentence: Sentence) -> float:
    """What the form of question and sentence says beyond their words."""
    bonus = 0.0
    if _ASKS_QUANTITY.search(question.text) and any(character.isdigit() for character in sentence.text):
        bonus += 0.1
    if _ASKS_REASON.search(question.text) and _REASON.search(sentence.text):
        bonus += 0.1
    if _ASKS_DEFINITION.search(question.text) and question.sequence:
        opening = sentence.text[:60]
        if question.sequence[0] in terms_of(opening) and _DEFINES.search(opening):
            bonus += 0.12
    told = term_list(sentence.text)
    if set(told[:2]) & set(question.sequence[:2]):
        bonus += 0.08
    pairs = set(pairwise(question.sequence)) & set(pairwise(told))
    return bonus + 0.06 * min(3, len(pairs))


def _form_factor(sentence: Sentence) -> float:
    factor = 0.9 if sentence.is_item else 1.0
    if sentence.word_count < 4 or sentence.text.endswith("?"):
        factor *= 0.6
    if sentence.word_count > _TYPICAL_WORDS:
        factor /= 0.75 + 0.25 * sentence.word_count / _TYPICAL_WORDS
    return factor


def _select(question: Question, candidates: Sequence[Candidate]) -> list[Candidate]:
    best = candidates[0]
    chosen = [best]
    covered = best.sentence.terms & question.terms
    least_terms = min(2, len(covered))
    for candidate in candidates[1:]:
        if len(chosen) == _TYPICAL_SENTENCES or candidate.score < _LEAST_SHARE_WITH_NEWS * best.score:
            break
        shared = candidate.sentence.terms & question.terms
        if len(shared) < least_terms:
            continue
        if candidate.score < _LEAST_SHARE_OF_BEST * best.score and not shared - covered:
            continue
        if any(_overlap(candidate.sentence, other.sentence) > _SAME for other in chosen):
            continue
        chosen.append(candidate)
        covered |= shared
    return chosen


def _with_antecedents(
    chosen: Sequence[Candidate], read: Sequence[Sequence[Sentence]]
) -> list[tuple[int, Sentence]]:
    kept: list[tuple[int, Sentence]] = []
    for candidate in chosen:
        index, sentence = candidate.passage_index, candidate.sentence
        before = read[index][sentence.position - 1] if sentence.position else None
        group = [(index, sentence)]
        if before is not None and _REFERS_BACK.match(sentence.text) and not before.is_item:
            group.insert(0, (index, before))
        fresh = [pair for pair in group if pair not in kept]
        if len(kept) + len(fresh) <= MAX_SENTENCES:
            kept.extend(fresh)
    return kept or [(chosen[0].passage_index, chosen[0].sentence)]


def _overlap(one: Sentence, other: Sentence) -> float:
    return len(one.terms & other.terms) / max(1, len(one.terms | other.terms))
