"""Whether a request resembles what the scorer has learned from: a distance, and where it becomes strange.

Sources: K. Lee et al., A Simple Unified Framework for Detecting Out-of-Distribution Samples, 2018 (the Mahalanobis
distance to a class), with one class for each form of request. J. Jackson and G. Mudholkar, Control
Procedures for Residuals Associated with Principal Component Analysis, 1979 (what the components do not explain).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from agentplatform.llm.routing.structure import NUMBER, Parts

Floats = npt.NDArray[np.float32]
COMPONENTS = 24
SHRINKAGE = 0.1
USUAL_SHARE = 0.97
"""The distance within which this share of a form's own rows lies is the form's limit."""
STRANGE_AT = 2.0
"""From so many times the limit on, nothing of what was learned is trusted; in between it is mixed."""
CLIP = 6.0
NUMBERS_OF_A_PROBLEM = 2
ROWS_OF_A_FORM = 100
"""With fewer rows nothing is learned of a form."""


class Form(IntEnum):
    """What a request looks like: none of the others, with numbers, with two options, with more."""

    PLAIN = 0
    PROBLEM = 1
    PAIR = 2
    CHOICE = 3


def form_of(parts: Parts) -> Form:
    """The form of a request."""
    if parts.options:
        return Form.CHOICE if len(parts.options) > 2 else Form.PAIR
    return Form.PROBLEM if len(NUMBER.findall(parts.stem)) >= NUMBERS_OF_A_PROBLEM else Form.PLAIN


@dataclass(frozen=True, slots=True)
class Familiarity:
    """One entry for each form. Shapes: (forms, features) twice, (forms, features, components), (forms, components),
    and (forms, 2): the limits of the squared distance within the components, and of what they do not explain; 0 for
    a form that nothing is learned of."""

    means: Floats
    scales: Floats
    bases: Floats
    variances: Floats
    limits: Floats

    def knows(self, form: Form) -> bool:
        """Whether anything is learned of a form."""
        return bool(self.limits[form].all())

    def standard(self, rows: Floats, form: Form) -> Floats:
        """Rows in units of what is usual for their form, without extremes."""
        return _standard(rows, self.means[form], self.scales[form])

    def distance(self, row: Floats, form: Form) -> float:
        """The larger of both distances of a row to its form, in units of the form's limits."""
        standard = self.standard(row[None, :], form)
        distances = _distances(standard, self.bases[form], self.variances[form])
        return float((distances[0] / self.limits[form]).max())

    def share(self, row: Floats, form: Form) -> float:
        """How far the learned part is to be trusted: 1 within the limits, 0 from STRANGE_AT times a limit on."""
        if not self.knows(form):
            return 0.0
        return min(1.0, max(0.0, (STRANGE_AT - self.distance(row, form)) / (STRANGE_AT - 1.0)))


def learn_familiarity(rows: Floats, forms: Sequence[Form]) -> Familiarity:
    """Learns where the rows of each form lie that has enough of them."""
    labels = np.array([int(form) for form in forms])
    learned = [_learn_form(rows[labels == form]) for form in Form]
    return Familiarity(*(np.stack(part).astype(np.float32) for part in zip(*learned, strict=True)))


def _learn_form(rows: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    if len(rows) < ROWS_OF_A_FORM:
        return _nothing(rows.shape[1])
    # A feature that never varies here keeps a small scale: any other value of it is strange.
    mean, scale = rows.mean(axis=0), np.maximum(rows.std(axis=0), np.float32(0.05))
    standard = _standard(rows, mean, scale)
    variances, directions = np.linalg.eigh((standard.T @ standard).astype(np.float64) / len(rows))
    largest = slice(None, -COMPONENTS - 1, -1)
    basis = directions[:, largest].astype(np.float32)
    kept = (1 - SHRINKAGE) * variances[largest] + SHRINKAGE * variances.mean()
    distances = _distances(standard, basis, kept.astype(np.float32))
    return mean, scale, basis, kept.astype(np.float32), np.quantile(distances, USUAL_SHARE, axis=0)


def _nothing(width: int) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    shapes: tuple[tuple[int, ...], ...] = ((width,), (width, COMPONENTS), (COMPONENTS,), (2,))
    mean, basis, variances, limits = (np.zeros(shape, dtype=np.float32) for shape in shapes)
    return mean, np.ones(width, dtype=np.float32), basis, variances, limits


def _standard(rows: Floats, mean: Floats, scale: Floats) -> Floats:
    standard: Floats = np.clip((rows - mean) / scale, -CLIP, CLIP)
    return standard


def _distances(standard: Floats, basis: Floats, variances: Floats) -> Floats:
    """Of each row: the squared Mahalanobis distance within the components, and the squared rest beyond them."""
    inner = standard @ basis
    rest = (standard**2).sum(axis=1) - (inner**2).sum(axis=1)
    return np.stack([(inner**2 / variances).sum(axis=1), rest], axis=1)
