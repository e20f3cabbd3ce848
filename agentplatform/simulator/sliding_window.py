"""Exact sums over every sliding minute, to prove that a limit was never passed."""

from collections import deque

WINDOW_SECONDS = 60.0
_LARGEST_LENGTH = 500_000


class SlidingWindow:
    """Amounts of the last 60 s and the largest sum that any 60 s ever held (the window is half open)."""

    __slots__ = ("_amounts", "_sum", "largest")

    def __init__(self) -> None:
        self._amounts: deque[tuple[float, int]] = deque()
        self._sum = 0
        self.largest = 0

    def add(self, amount: int, now: float) -> None:
        """Count an amount at this moment, in monotonic seconds."""
        amounts = self._amounts
        while amounts and (amounts[0][0] <= now - WINDOW_SECONDS or len(amounts) >= _LARGEST_LENGTH):
            self._sum -= amounts.popleft()[1]
        amounts.append((now, amount))
        self._sum += amount
        if self._sum > self.largest:
            self.largest = self._sum
