from __future__ import annotations

import threading

import pytest

from pacs.dimse.priorities import Priorities, Priority


class Clock:
    """Moves when it is looked at: a wait is over after a few looks."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


def test_nobody_waits_while_nobody_more_important_sends() -> None:
    priorities = Priorities()
    with priorities.message(Priority.LOW), priorities.message(Priority.LOW):
        assert priorities.busy_s(Priority.LOW) == 0
        assert priorities.busy_s(Priority.HIGH) == 0


@pytest.mark.parametrize(
    ("sending", "others", "waits"),
    [
        (Priority.HIGH, Priority.LOW, True),
        (Priority.HIGH, Priority.NORMAL, True),
        (Priority.NORMAL, Priority.LOW, True),
        (Priority.NORMAL, Priority.HIGH, False),
        (Priority.NORMAL, Priority.NORMAL, False),
    ],
)
def test_lower_ones_wait_and_a_little_longer(sending: Priority, others: Priority, waits: bool) -> None:
    clock = Clock()
    priorities = Priorities(clock)
    with priorities.message(sending):
        assert (priorities.busy_s(others) > 0) is waits
    assert (priorities.busy_s(others) > 0) is waits, "its next message comes soon"
    clock.now += 0.2
    assert priorities.busy_s(others) == 0


@pytest.mark.real_time(0.1)
def test_a_pause_is_bounded_however_long_others_send() -> None:
    priorities = Priorities()
    ended = threading.Event()

    def migrate() -> None:
        with priorities.message(Priority.LOW):
            ended.set()

    with priorities.message(Priority.HIGH):
        migration = threading.Thread(target=migrate)
        migration.start()
        assert not ended.wait(0.2)
        assert ended.wait(5)
        migration.join()
