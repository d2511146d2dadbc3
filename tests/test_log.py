"""A line of the log is one event, and nothing in it can move a terminal's cursor."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from pacs import log

ATTACK = "X\n2026-01-01 INFO forged\r\x1b[2J\x9b2J\x7f\u2028\u2029\u202e\x00end"


def written_as(form: str) -> io.StringIO:
    log.configure(process="test", format=form, level="INFO")
    stream = io.StringIO()
    handler = logging.getLogger().handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream)
    return stream


@pytest.fixture(params=["json", "text"])
def output(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    root, mine = logging.getLogger(), logging.getLogger("pacs")
    before = (list(root.handlers), root.level, mine.level)
    yield written_as(request.param)
    root.handlers[:], root.level, mine.level = before


def test_no_field_writes_another_line_or_steers_the_terminal(output: io.StringIO) -> None:
    log.warning("association rejected", calling_ae_title=ATTACK, path=ATTACK)
    written = output.getvalue()
    assert written.endswith("\n")
    assert len(written[:-1].splitlines()) == 1
    assert all(character.isprintable() for character in written[:-1])


def test_a_traceback_steers_no_terminal_either(output: io.StringIO) -> None:
    try:
        raise ValueError(ATTACK)
    except ValueError as problem:
        log.failure("request failed", problem)
    assert all(character.isprintable() for line in output.getvalue().split("\n") for character in line)


def test_json_gives_back_what_was_logged(output: io.StringIO) -> None:
    output = written_as("json")
    log.event("x", name=ATTACK + "김민지")
    assert json.loads(output.getvalue())["name"] == ATTACK + "김민지"
