"""What was used lately stays, up to a number of bytes."""

from __future__ import annotations

from pacs.recent import Recent


def test_what_is_held_is_bounded() -> None:
    recent: Recent[int] = Recent(100)
    for number in range(10):
        recent.put(number, number, 20)
        recent.get(0)
    assert [number for number in range(10) if recent.get(number) is not None] == [0, 6, 7, 8, 9]
    recent.put(0, 1, 26)
    assert recent.get(0) is None, "too large to be held, and what was there is old"
    assert recent._held == 80
