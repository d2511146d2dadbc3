"""Counting into the board, and the text that is made of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading

import pytest

from pacs.budget_settings import BudgetSettings
from pacs.measured.board import BOUNDS_MS, GAUGES, MAX_HOSPITALS, Board, Layout, new_memory
from pacs.measured.counts import Counts
from pacs.measured.kinds import KINDS, kind
from pacs.measured.prometheus import as_text
from pacs.measured.stages import Stages

FRAME = kind("frame")
_LINE = re.compile(r"[a-z_]+(?:\{(?:[a-z]+=\"(?:[^\"\\\n]|\\.)*\",?)+\})? [0-9.e+-]+(?:\.[0-9]+)?\Z")


def value(text: str, start: str) -> float:
    (line,) = [line for line in text.splitlines() if line.startswith(start)]
    return float(line.rpartition(" ")[2])


@pytest.mark.parametrize("seconds", [0.0, 0.0000999, 0.0001, 0.00025, 0.0123, 0.0199999, 0.02, 0.3, 59.0, 61.0, 1e6])
def test_an_answer_is_in_the_bucket_of_its_time(seconds: float) -> None:
    counts = Counts.alone()
    timing = counts.finished(FRAME, seconds)
    assert re.fullmatch(rb"total;dur=\d+\.\d\d", timing)
    assert abs(float(timing.rpartition(b"=")[2]) - seconds * 1000) <= 0.0101
    start = counts.board.layout.histogram(FRAME.number, 0)
    buckets = counts.board.totals(start, len(BOUNDS_MS) + 1)
    (place,) = [number for number, count in enumerate(buckets) if count]
    lower, upper = (0, *BOUNDS_MS)[place], (*BOUNDS_MS, float("inf"))[place]
    # Short times are told apart in steps of 10 µs.
    assert lower - 0.01 <= seconds * 1000 <= upper + 0.01


def test_what_was_over_its_budget_is_counted() -> None:
    board = Board.private()
    counts = Counts(board, "alone", BudgetSettings(frame=10.0))
    for milliseconds in (1, 9.9, 10.1, 50):
        counts.finished(FRAME, milliseconds / 1000)
    counts.finished(kind("other"), 100.0)
    text = as_text(board, BudgetSettings())
    assert value(text, 'pacs_over_budget_total{door="http",kind="frame"}') == 2
    assert value(text, 'pacs_over_budget_total{door="http",kind="other"}') == 0
    assert value(text, 'pacs_budget_seconds{door="http",kind="frame"}') == 0.01


def test_every_line_has_the_form_of_the_format() -> None:
    board = Board.private(hospitals=('a"\\\n}', "b"))
    counts = Counts(board, "alone")
    for each in KINDS:
        counts.finished(each, 0.001, 503, 'a"\\\n}')
        counts.gave_way(each)
    counts.add("associations", 3)
    for line in as_text(board, BudgetSettings()).splitlines():
        assert line.startswith(("# HELP pacs_", "# TYPE pacs_")) or _LINE.match(line), line


def test_buckets_only_grow_and_end_with_all() -> None:
    counts = Counts.alone()
    for step in range(1000):
        counts.finished(FRAME, step**2 / 1e6)
    text = as_text(counts.board, BudgetSettings())
    found = [float(x) for x in re.findall(r'seconds_bucket\{[^}]*kind="frame"[^}]*\} (\d+)', text)]
    assert found == sorted(found)
    assert found[-1] == 1000 == value(text, 'pacs_request_seconds_count{door="http",kind="frame"}')


def test_no_hospital_that_is_not_configured_makes_a_label() -> None:
    board = Board.private(hospitals=("a", "b"))
    counts = Counts(board, "alone")
    for number in range(200):
        counts.finished(FRAME, 0.001, hospital=f"made up {number}")
    counts.finished(FRAME, 0.001, hospital="a")
    hospitals = set(re.findall(r'hospital="([^"]*)"', as_text(board, BudgetSettings())))
    assert hospitals == {"a", "other"}
    many = Layout.of(("x",), [f"h{number}" for number in range(500)])
    assert len(many.hospitals) == MAX_HOSPITALS + 1


@pytest.mark.parametrize("status", [0, 99, 200, 304, 404, 503, 599, 999])
def test_any_status_is_counted_somewhere(status: int) -> None:
    counts = Counts.alone()
    counts.finished(FRAME, 0.001, status)
    assert sum(counts.board.totals(counts.board.layout.outcomes, 4)) == 1


def test_threads_lose_no_count() -> None:
    counts = Counts.alone()
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=lambda: [counts.count(FRAME, 0.001) for _ in range(2000)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert counts.board.totals(counts.board.layout.outcomes, 1) == [8000]


_CHILD = """
import sys
from pacs.measured.board import Board, Layout
from pacs.measured.counts import Counts
from pacs.measured.kinds import kind
counts = Counts(Board(int(sys.argv[1]), Layout.of(("web-1", "web-2", "dimse"))), sys.argv[2])
for _ in range(int(sys.argv[3])):
    counts.finished(kind("frame"), 0.001)
counts.add("associations", 1)
"""


def test_processes_add_up_and_go_on_counting_when_started_again() -> None:
    layout = Layout.of(("web-1", "web-2", "dimse"))
    memory = new_memory(layout)
    board = Board(memory, layout)
    try:
        for role, number in (("web-1", 5), ("web-2", 7), ("web-1", 1)):
            command = [sys.executable, "-c", _CHILD, str(memory), role, str(number)]
            subprocess.run(command, check=True, pass_fds=(memory,), timeout=60)
    finally:
        os.close(memory)
    text = as_text(board, BudgetSettings())
    assert value(text, 'pacs_request_seconds_count{door="http",kind="frame"}') == 13
    # What is as it is now was so of the process before.
    assert value(text, 'pacs_associations{process="web-1"}') == 1
    assert value(text, 'pacs_starts{process="web-1"}') == 2
    assert value(text, 'pacs_starts{process="dimse"}') == 0


def test_stages_follow_the_total() -> None:
    stages = Stages()
    stages.add("index", 0.0011)
    stages.add("index", 0.0011)
    timing = Counts.alone().finished(FRAME, 0.5, stages=stages)
    assert timing == b"total;dur=500.00, index;dur=2.20"


def test_every_gauge_has_a_name_of_its_own() -> None:
    assert len({name for name, _ in GAUGES}) == len(GAUGES)
    assert len({each.name for each in KINDS}) == len(KINDS)
