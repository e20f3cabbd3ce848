"""What is said of a request by trees, a linear model and rules, blended."""

from __future__ import annotations

import numpy as np
import pytest

from agentplatform.llm.routing.familiarity import Form
from agentplatform.llm.routing.linear import Linear

STANDARD = np.array([1.0, -2.0, 9.0], dtype=np.float32)


@pytest.fixture
def linear() -> Linear:
    """Two coefficients for each form; half of the rows that trees want for problems, very many for choices."""
    coefficients = np.tile(np.array([0.3, 0.1], dtype=np.float32), (len(Form), 1))
    shares = np.array([0, 0.5, 0, 1], dtype=np.float32)
    return Linear(coefficients, np.full(len(Form), 0.2, dtype=np.float32), shares)


def test_a_form_is_judged_by_trees_as_far_as_it_had_rows(linear: Linear) -> None:
    """0.2 + 0.3 - 0.2 by the linear model, which reads the first features alone, and 0.7 by the trees."""
    assert linear.blend(0.7, STANDARD, 0.0, Form.CHOICE) == pytest.approx(0.7)
    assert linear.blend(0.7, STANDARD, 0.0, Form.PROBLEM) == pytest.approx((0.7 + 0.3) / 2)


def test_rules_count_for_a_form_with_few_rows(linear: Linear) -> None:
    """They raise the gain of a form with few rows, and not that of one that trees know."""
    added = {
        form: linear.blend(0.7, STANDARD, 1.0, form) - linear.blend(0.7, STANDARD, 0.0, form)
        for form in (Form.CHOICE, Form.PROBLEM)
    }
    assert added[Form.CHOICE] == pytest.approx(0)
    assert added[Form.PROBLEM] > 0.01
