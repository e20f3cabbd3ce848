"""The prompt cache: which prefixes are kept, for how long, and what a request reads from and writes to it."""

from collections import OrderedDict

from agentplatform.simulator.clock import SimulatedClock
from agentplatform.simulator.reply import NOTHING_CACHED, CachedInput
from agentplatform.simulator.request import MessagesRequest

LOOKBACK_BLOCKS = 20
LARGEST_ENTRIES = 50_000
_HOUR_SECONDS = 3_600
_Key = tuple[str, str, bytes]


class PrefixCache:
    """The cache of one provider, apart by key and model; the least recently used entries make room.

    Entries are written at breakpoints, and found from a breakpoint up to 20 blocks back. Using an entry
    renews its time to live.
    """

    def __init__(self, clock: SimulatedClock, largest: int = LARGEST_ENTRIES) -> None:
        self._clock = clock
        self._largest = largest
        self._entries: OrderedDict[_Key, tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of entries kept, expired ones among them."""
        return len(self._entries)

    def look_up(self, key: str, request: MessagesRequest) -> CachedInput:
        """Return what a request reads and writes. Changes nothing: a refused call leaves the cache as it is."""
        blocks = request.prefix
        if not blocks:
            return NOTHING_CACHED
        hit = self._longest_hit(key, request)
        read = blocks[hit].tokens if hit >= 0 else 0
        written_1h, end = 0, read
        for position in self._written(request, hit):
            if blocks[position].ttl_seconds == _HOUR_SECONDS:
                written_1h = blocks[position].tokens - read
            end = blocks[position].tokens
        return CachedInput(read, end - read - written_1h, written_1h)

    def commit(self, key: str, request: MessagesRequest) -> None:
        """Write a request's breakpoints and renew what it read: as the first response to it begins."""
        if not request.prefix:
            return
        hit = self._longest_hit(key, request)
        now = self._clock.monotonic()
        written = set(self._written(request, hit))
        for position in [hit, *_breakpoints(request)] if hit >= 0 else _breakpoints(request):
            block = request.prefix[position]
            entry = (key, request.model.id, block.digest)
            if position in written and block.ttl_seconds is not None:
                self._entries[entry] = (now + block.ttl_seconds, block.ttl_seconds)
            elif self._is_live(entry):
                ttl = self._entries[entry][1]
                self._entries[entry] = (now + ttl, ttl)
            else:
                continue
            self._entries.move_to_end(entry)
        while len(self._entries) > self._largest:
            self._entries.popitem(last=False)

    def clear(self) -> None:
        """Forget every prefix."""
        self._entries.clear()

    def _longest_hit(self, key: str, request: MessagesRequest) -> int:
        """Return the position of the last block of the longest prefix found; -1 for none."""
        for end in reversed(_breakpoints(request)):
            for position in range(end, max(-1, end - LOOKBACK_BLOCKS), -1):
                if self._is_live((key, request.model.id, request.prefix[position].digest)):
                    return position
        return -1

    def _written(self, request: MessagesRequest, hit: int) -> list[int]:
        least = request.model.min_cacheable_tokens
        return [
            position
            for position in _breakpoints(request)
            if position > hit and request.prefix[position].tokens >= least
        ]

    def _is_live(self, entry: _Key) -> bool:
        kept = self._entries.get(entry)
        return kept is not None and kept[0] > self._clock.monotonic()


def _breakpoints(request: MessagesRequest) -> list[int]:
    return [position for position, block in enumerate(request.prefix) if block.ttl_seconds is not None]
