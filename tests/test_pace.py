from __future__ import annotations

from pacs.pace import Pace


def test_silence_uses_up_what_there_is() -> None:
    pace = Pace(60, 1000)
    pace.waited(59, 0)
    assert pace.left_s == 1
    pace.waited(1, 0)
    assert pace.left_s <= 0


def test_a_byte_every_59_seconds_does_not_help() -> None:
    pace = Pace(60, 1000)
    for _ in range(2):
        pace.waited(59, 1)
    assert pace.left_s < 0


def test_a_steady_slow_line_goes_on_for_ever() -> None:
    pace = Pace(60, 1000)
    for _ in range(10_000):
        pace.waited(30, 30_000)
    assert pace.left_s == 60 - 0


def test_a_burst_buys_no_more_than_the_first_allowance() -> None:
    pace = Pace(60, 1000)
    pace.waited(0, 1 << 32)
    assert pace.left_s == 60
    pace.waited(40, 0)
    pace.renew()
    assert pace.left_s == 60
