"""How long one peer may keep us waiting in the middle of a message: silence ends it, and so does a drip. No clock."""

from __future__ import annotations


class Pace:
    """Seconds that waiting uses up and bytes give back, never more than at the start.

    A silent peer is given up after `most_s`, and one that sends less than `least_bytes_per_s` in the long run soon
    after; what we take ourselves, to write or to let others go first, is not counted.
    """

    __slots__ = ("_least_bytes_per_s", "_most_s", "left_s")

    def __init__(self, most_s: float, least_bytes_per_s: float) -> None:
        self._most_s = most_s
        self._least_bytes_per_s = least_bytes_per_s
        self.left_s = most_s
        """How long may be waited now; nothing is left at zero or below."""

    def waited(self, seconds: float, size_bytes: int) -> None:
        """Waiting for `seconds` brought `size_bytes`."""
        self.left_s = min(self._most_s, self.left_s - seconds + size_bytes / self._least_bytes_per_s)

    def renew(self) -> None:
        """Another message begins."""
        self.left_s = self._most_s
