"""A linear model for each form of request: what trees need many rows for, it learns from some hundreds.

Source: A. Hoerl and R. Kennard, Ridge Regression, 1970.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agentplatform.llm.routing.familiarity import Familiarity, Form

Floats = npt.NDArray[np.float32]
PENALTY = 300.0
ROWS_AS_GOOD = 2_000
"""With so many rows of a form its trees count as much as its linear model; with more, more."""
RULES_WEIGHT = 0.1
"""What a unit of the log-odds by rules adds to what the linear model says: little is learned from few rows."""


@dataclass(frozen=True, slots=True)
class Linear:
    """One entry for each form: coefficients of the first features, of standardised rows, and the trees' share."""

    coefficients: Floats
    intercepts: Floats
    tree_shares: Floats

    def blend(self, said_by_trees: float, standard: Floats, by_rules: float, form: Form) -> float:
        """The gain, from what the trees say, a standardised row of the form and the log-odds by rules."""
        width = self.coefficients.shape[1]
        linear = float(self.coefficients[form] @ standard[:width] + self.intercepts[form])
        share = float(self.tree_shares[form])
        return share * said_by_trees + (1 - share) * (linear + RULES_WEIGHT * by_rules)


def learn_linear(
    rows: Floats, gains: Floats, forms: Sequence[Form], familiarity: Familiarity, width: int
) -> Linear:
    """Learns from the first `width` features of the rows. A form that is not familiar is left to the trees."""
    labels = np.array([int(form) for form in forms])
    coefficients = np.zeros((len(Form), width), dtype=np.float32)
    intercepts, tree_shares = np.zeros(len(Form), np.float32), np.ones(len(Form), np.float32)
    for form in Form:
        if not familiarity.knows(form):
            continue
        own = labels == form
        standard = familiarity.standard(rows[own], form)[:, :width].astype(np.float64)
        intercepts[form] = gains[own].mean()
        squares = standard.T @ standard + PENALTY * np.eye(width)
        coefficients[form] = np.linalg.solve(squares, standard.T @ (gains[own] - intercepts[form]))
        tree_shares[form] = own.sum() / (own.sum() + ROWS_AS_GOOD)
    return Linear(coefficients, intercepts, tree_shares)
