from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pacs.errors import Busy
from pacs.turns import Turns


def test_a_hospital_has_so_many_turns_and_others_have_theirs() -> None:
    turns = Turns(at_once=2, waiting=0, wait_s=10)
    with turns.of("a"), turns.of("a"):
        with pytest.raises(Busy), turns.of("a"):
            pass
        with turns.of("b"), turns.of("b"):
            pass
    with turns.of("a"):
        pass


def test_who_waits_is_next() -> None:
    turns = Turns(at_once=1, waiting=1, wait_s=10)
    began = threading.Event()

    def wait() -> str:
        began.set()
        with turns.of("a"):
            return "done"

    with ThreadPoolExecutor() as pool:
        with turns.of("a"):
            waiting = pool.submit(wait)
            assert began.wait(10)
            assert not waiting.done()
        assert waiting.result(10) == "done"


def test_nobody_waits_for_ever() -> None:
    turns = Turns(at_once=1, waiting=5, wait_s=0.02)
    with turns.of("a"), pytest.raises(Busy, match="too long"), turns.of("a"):
        pass


def test_a_turn_that_fails_is_given_back() -> None:
    turns = Turns(at_once=1, waiting=0, wait_s=1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), turns.of("a"):
            raise ZeroDivisionError
    with turns.of("a"):
        pass
