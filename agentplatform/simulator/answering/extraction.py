"""Answers to a question in the words of the passages: the sentences that overlap with it most."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from agentplatform.simulator.answering.prompt import Passage
from agentplatform.simulator.answering.sentences import Sentence, headings_of, sentences_of
from agentplatform.simulator.answering.terms import TermWeights, term_list, terms_of

MAX_SENTENCES = 4
_TYPICAL_SENTENCES = 3
_LEAST_COVERAGE = 0.34
_LEAST_SHARE_OF_BEST = 0.6
_LEAST_SHARE_WITH_NEWS = 0.45
_SAME = 0.6
_REFERS_BACK = re.compile(r"(?:It|They|This|That|These|Those|He|She|Its|Their|Such|Both|Otherwise|So)\b")
_ASKS_QUANTITY = re.compile(r"\bhow (?:long|many|much|often|big|large|old|fast)\b|\bwhen\b", re.IGNORECASE)
_ASKS_REASON = re.compile(r"\bwhy\b", re.IGNORECASE)
_REASON = re.compile(r"\b(?:because|since|so that|therefore|otherwise|why)\b", re.IGNORECASE)
_ASKS_DEFINITION = re.compile(r"\bwhat (?:is|are)\b|\bwhat does .* mean\b", re.IGNORECASE)
_DEFINES = r"(?:is|are|means|describes|contains|holds|=)\b"


@dataclass(frozen=True)
class Candidate:
    """A sentence with how well it answers, 0 to a little above 1, and how much of the question it covers."""

    sentence: Sentence
    passage_index: int
    score: float
    coverage: float


def extract_answer(question: str, passages: Sequence[Passage]) -> list[tuple[str, str]] | None:
    """Return one to four sentences, each with its passage's id, or None where no passage answers.

    A sentence is scored by the share of the question's terms it holds, weighted by their rarity among all
    sentences, and by what its heading and passage add to that. One that refers back brings the sentence before.
    """
    read = [sentences_of(passage.text) for passage in passages]
    candidates = rank(question, passages, read)
    if not candidates or candidates[0].coverage < _LEAST_COVERAGE:
        return None
    chosen = _with_antecedents(_select(question, candidates), read)
    order: list[int] = list(dict.fromkeys(index for index, _ in chosen))
    chosen.sort(key=lambda pair: (order.index(pair[0]), pair[1].position))
    return [(sentence.text, passages[index].id) for index, sentence in chosen]


def rank(question: str, passages: Sequence[Passage], read: Sequence[Sequence[Sentence]]) -> list[Candidate]:
    """Return all sentences of the passages, best first."""
    wanted = terms_of(question)
    weights = TermWeights([sentence.terms for sentences in read for sentence in sentences])
    candidates: list[Candidate] = []
    for index, passage in enumerate(passages):
        heading = terms_of(" ".join([passage.heading, *headings_of(passage.text)]))
        around = frozenset[str]().union(heading, *(sentence.terms for sentence in read[index]))
        in_passage = weights.coverage(wanted, around)
        for sentence in read[index]:
            own = weights.coverage(wanted, sentence.terms)
            with_heading = weights.coverage(wanted, sentence.terms | heading)
            if own > 0:
                score = own + 0.35 * (with_heading - own) + 0.15 * in_passage + _cues(question, sentence)
                score *= _form_factor(sentence)
                coverage = own + 0.5 * (with_heading - own)
                candidates.append(Candidate(sentence, index, score, coverage))
    return sorted(candidates, key=lambda one: (-one.score, one.passage_index, one.sentence.position))


def _cues(question: str, sentence: Sentence) -> float:
    """What the form of question and sentence says beyond their words."""
    bonus = 0.0
    if _ASKS_QUANTITY.search(question) and any(character.isdigit() for character in sentence.text):
        bonus += 0.1
    if _ASKS_REASON.search(question) and _REASON.search(sentence.text):
        bonus += 0.1
    asked = term_list(question)
    if _ASKS_DEFINITION.search(question) and asked:
        opening = sentence.text[:60]
        if asked[0] in terms_of(opening) and re.search(_DEFINES, opening):
            bonus += 0.12
    told = term_list(sentence.text)
    pairs = set(pairwise(asked)) & set(pairwise(told))
    return bonus + 0.06 * min(3, len(pairs))


def _form_factor(sentence: Sentence) -> float:
    factor = 0.9 if sentence.is_item else 1.0
    if sentence.word_count < 4 or sentence.text.endswith("?"):
        factor *= 0.6
    if sentence.word_count > 45:
        factor *= 45 / sentence.word_count
    return factor


def _select(question: str, candidates: Sequence[Candidate]) -> list[Candidate]:
    best = candidates[0]
    chosen = [best]
    covered = best.sentence.terms & terms_of(question)
    for candidate in candidates[1:]:
        if len(chosen) == _TYPICAL_SENTENCES or candidate.score < _LEAST_SHARE_WITH_NEWS * best.score:
            break
        news = (candidate.sentence.terms & terms_of(question)) - covered
        if candidate.score < _LEAST_SHARE_OF_BEST * best.score and not news:
            continue
        if any(_overlap(candidate.sentence, other.sentence) > _SAME for other in chosen):
            continue
        chosen.append(candidate)
        covered |= news
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
