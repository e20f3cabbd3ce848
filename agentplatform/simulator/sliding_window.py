"""Exact sums over every sliding minute, to prove that a limit was never passed."""

from collections import deque

WINDOW_SECONDS = 60.0
_LARGEST_LENGTH = 500_000


class SlidingWindow:
    """Amounts of the last 60 s and the largest sum that any 60 s ever held (the window is half open)."""

    __slots__ = ("_amounts", "_sum", "_times", "largest")

    def __init__(self) -> None:
        # Apart, and not as pairs: a busy minute has some hundred thousand of them.
        self._times: deque[float] = deque()
        self._amounts: deque[int] = deque()
        self._sum = 0
        self.largest = 0

    def add(self, amount: int, now: float) -> None:
        """Count an amount at this moment, in monotonic seconds."""
        times = self._times
        while times and (times[0] <= now - WINDOW_SECONDS or len(times) >= _LARGEST_LENGTH):
            times.popleft()
            self._sum -= self._amounts.popleft()
        times.append(now)
        self._amounts.append(amount)
        self._sum += amount
        if self._sum > self.largest:
            self.largest = self._sum
