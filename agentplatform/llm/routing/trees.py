"""Extremely randomised regression trees: growing them, and asking them.

Source: P. Geurts, D. Ernst and L. Wehenkel, Extremely randomized trees, 2006. A split is the best of some features, each
with one random threshold; the trees grow on several targets at once, so that a split has to explain all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
LEAF = 255
"""In place of a feature: this node is a leaf, and its threshold is the value."""


@dataclass(frozen=True, slots=True)
class Growth:
    """How trees are grown. `share` of the rows is drawn for each tree, without replacement."""

    trees: int = 150
    smallest_leaf: int = 10
    features_per_split: int = 48
    share: float = 0.6
    seed: int = 20_241


@dataclass(frozen=True, slots=True)
class Forest:
    """All nodes in one table, tree after tree, in preorder: a node's left child follows it."""

    feature: npt.NDArray[np.uint8]
    threshold: npt.NDArray[np.float16]
    right: npt.NDArray[np.uint16]
    roots: npt.NDArray[np.int32]

    def predict(self, rows: Floats) -> Floats:
        """The mean of the trees' values, for each row of shape (rows, features)."""
        total = np.zeros(len(rows), dtype=np.float64)
        thresholds = self.threshold.astype(np.float32)
        for root in self.roots:
            total += self._walk(rows, np.full(len(rows), root, dtype=np.int64), root, thresholds)
        return (total / len(self.roots)).astype(np.float32)

    def predict_one(self, row: Floats) -> float:
        """The mean of the trees' values for one row; all trees are walked side by side."""
        at = self.roots.astype(np.int64)
        while True:
            feature = self.feature[at]
            inner = feature != LEAF
            if not inner.any():
                return float(self.threshold[at].astype(np.float64).mean())
            goes_right = row[np.where(inner, feature, 0)] > self.threshold[at]
            step = np.where(goes_right, self.roots + self.right[at], at + 1)
            at = np.where(inner, step, at)

    def _walk(
        self, rows: Floats, at: npt.NDArray[np.int64], root: np.int32, thresholds: Floats
    ) -> npt.NDArray[np.float32]:
        waiting = np.arange(len(rows))
        while len(waiting):
            here = at[waiting]
            feature = self.feature[here]
            waiting, here = waiting[feature != LEAF], here[feature != LEAF]
            goes_right = rows[waiting, self.feature[here]] > thresholds[here]
            at[waiting] = np.where(goes_right, int(root) + self.right[here].astype(np.int64), here + 1)
        return thresholds[at]


def grow(
    rows: Floats, targets: Floats, weights: Floats, value: Floats, growth: Growth
) -> tuple[Forest, Floats]:
    """Grows a forest on targets of shape (rows, targets); a leaf holds the weighted mean of `targets @ value`.

    Returns with it what trees say of rows that they have not been grown from; NaN for a row that no tree left out.
    """
    random = np.random.default_rng(growth.seed)
    nodes: list[tuple[int, float, int]] = []
    roots = []
    said = np.zeros((2, len(rows)))
    for _ in range(growth.trees):
        drawn = np.sort(random.permutation(len(rows))[: max(1, int(growth.share * len(rows)))])
        tree = _Tree(rows, targets, weights, value, growth, random).grow(drawn)
        roots.append(len(nodes))
        nodes.extend(tree)
        left_out = np.setdiff1d(np.arange(len(rows)), drawn)
        said[0, left_out] += _table(tree, [0]).predict(rows[left_out])
        said[1, left_out] += 1
    counted = np.where(said[1] > 0, said[1], np.nan)
    return _table(nodes, roots), (said[0] / counted).astype(np.float32)


def _table(nodes: Sequence[tuple[int, float, int]], roots: Sequence[int]) -> Forest:
    return Forest(
        feature=np.array([node[0] for node in nodes], dtype=np.uint8),
        threshold=np.array([node[1] for node in nodes], dtype=np.float16),
        right=np.array([node[2] for node in nodes], dtype=np.uint16),
        roots=np.array(roots, dtype=np.int32),
    )


@dataclass(slots=True)
class _Tree:
    rows: Floats
    targets: Floats
    weights: Floats
    value: Floats
    growth: Growth
    random: np.random.Generator

    def grow(self, drawn: npt.NDArray[np.int64]) -> list[tuple[int, float, int]]:
        """The nodes in preorder: (feature, threshold, place of the right child counted from the root)."""
        nodes: list[tuple[int, float, int]] = []
        waiting: list[tuple[npt.NDArray[np.int64], int]] = [(drawn, -1)]
        while waiting:
            members, parent = waiting.pop()
            if parent >= 0:
                feature, threshold, _ = nodes[parent]
                nodes[parent] = (feature, threshold, len(nodes))
            split = self._split(members)
            if split is None:
                nodes.append((LEAF, self._leaf(members), 0))
                continue
            feature, threshold, goes_right = split
            nodes.append((feature, threshold, 0))
            waiting.append((members[goes_right], len(nodes) - 1))
            waiting.append((members[~goes_right], -1))
        return nodes

    def _leaf(self, members: npt.NDArray[np.int64]) -> float:
        weights = self.weights[members]
        return float(weights @ (self.targets[members] @ self.value) / weights.sum())

    def _split(self, members: npt.NDArray[np.int64]) -> tuple[int, float, npt.NDArray[np.bool_]] | None:
        """The split that leaves least variance, among random ones; None if the node stays a leaf."""
        smallest = self.growth.smallest_leaf
        if len(members) < 2 * smallest:
            return None
        width = self.rows.shape[1]
        features = self.random.permutation(width)[: self.growth.features_per_split]
        values = self.rows[np.ix_(members, features)]
        low, high = values.min(axis=0), values.max(axis=0)
        drawn = self.random.random(len(features), dtype=np.float32)
        # Thresholds are rounded as they are stored, so that a grown tree and a stored one go the same ways.
        thresholds = (low + drawn * (high - low)).astype(np.float16).astype(np.float32)
        goes_right = values > thresholds
        counts = goes_right.sum(axis=0)
        allowed = (counts >= smallest) & (counts <= len(members) - smallest)
        if not allowed.any():
            return None
        best = int(np.argmax(np.where(allowed, self._gain(members, goes_right), -np.inf)))
        return int(features[best]), float(thresholds[best]), goes_right[:, best]

    def _gain(
        self, members: npt.NDArray[np.int64], goes_right: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.float64]:
        weights = self.weights[members].astype(np.float64)
        weighted = weights[:, None] * self.targets[members]
        on_right = goes_right.astype(np.float64)
        right, total = on_right.T @ weighted, weighted.sum(axis=0)
        right_weight = on_right.T @ weights
        left, left_weight = total - right, weights.sum() - right_weight
        gain: npt.NDArray[np.float64] = (right**2).sum(axis=1) / np.maximum(right_weight, 1e-9)
        gain += (left**2).sum(axis=1) / np.maximum(left_weight, 1e-9)
        return gain
