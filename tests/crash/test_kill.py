"""kill -9 while instances are stored, at a random time or after a random number of acknowledgements: nothing
acknowledged is lost, and the next start goes on."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.commit_forever import content_of
from tests.crash.killed import run_until_killed
from tests.ingest.small_archive import Place, open_place

FOREVER = "tests.crash.commit_forever"
SOAK = bool(os.environ.get("PACS_SOAK"))
ROUNDS = int(os.environ.get("PACS_KILL_ROUNDS", "1000" if SOAK else "5"))
AT_ANY_TIME = int(os.environ.get("PACS_KILL_ROUNDS", "1000" if SOAK else "10"))
"""For one thread, and again for eight."""
LONGEST_S = 0.6
"""The store is killed at any time from its first call to the disk on: some of them see no acknowledgement."""
LONG = pytest.mark.timeout(14400 if max(ROUNDS, AT_ANY_TIME) > 100 else 600)


def lost_or_altered(
    place: Place, acknowledged: list[int], content_of: Callable[[int], bytes] = content_of
) -> list[str]:
    """What is lost or altered of what was acknowledged, and every row without its bytes, acknowledged or not."""
    rows = {row.key.sop_instance_uid: row for row in place.index.instances("default", study_instance_uid="1.2.1")}
    found = [f"{number} is not listed" for number in acknowledged if f"1.2.3.{number}" not in rows]
    found += [
        f"{number} was acknowledged and is lost"
        for number in acknowledged
        if place.index.instance("default", "1.2.1", "1.2.2", f"1.2.3.{number}") is None
    ]
    for uid, row in rows.items():
        number = int(uid.rpartition(".")[2])
        if bytes(place.store.view(row.location)[row.location.data_set_offset :]) != content_of(number):
            found.append(f"{number} is not what was sent")
    return found


def segments_wrong(folder: Path, acknowledged: list[int], rounds: int, threads: int) -> list[str]:
    """Segments are taken over again and again, not left behind: the open ones of one process, and one per large
    instance."""
    large = sum(1 for number in acknowledged if number % 10 == 3)
    count, most = len(list(folder.glob("objects/*/*.tar"))), large + rounds * (threads + 1)
    return [f"{count} segments, {most} at most were to be expected"] if count > most else []


def _wrong(folder: Path, acknowledged: list[int], threads: int, *, rounds: int) -> list[str]:
    """What is not as it must be after that many rounds and a recovery."""
    place = open_place(folder)
    place.ingest.recover()
    try:
        too_few = [] if len(acknowledged) >= rounds else [f"only {len(acknowledged)} were acknowledged"]
        return [
            *too_few,
            *lost_or_altered(place, acknowledged),
            *segments_wrong(folder, acknowledged, rounds, threads),
        ]
    finally:
        place.close()


@LONG
@pytest.mark.parametrize("threads", [1, 8])
def test_killed_after_some_acknowledgements_nothing_is_lost(tmp_path: Path, threads: int) -> None:
    acknowledged: list[int] = []
    chance = random.Random(threads)
    for number in range(ROUNDS):
        after = chance.randrange(1, 40)
        acknowledged += run_until_killed(FOREVER, tmp_path, 1000 * number + 1, threads, after=after)
    assert _wrong(tmp_path, acknowledged, threads, rounds=ROUNDS) == []


@LONG
@pytest.mark.parametrize("threads", [1, 8])
def test_killed_at_any_time_nothing_acknowledged_is_lost(tmp_path: Path, threads: int) -> None:
    acknowledged: list[int] = []
    chance = random.Random(4711 + threads)
    for number in range(AT_ANY_TIME):
        after_s = chance.uniform(0, LONGEST_S)
        acknowledged += run_until_killed(FOREVER, tmp_path, 1000 * number + 1, threads, after_s=after_s)
    assert _wrong(tmp_path, acknowledged, threads, rounds=AT_ANY_TIME) == []


@pytest.mark.parametrize(
    ("call", "number"), [("write", 1), ("write", 5), ("sync", 1), ("sync", 4), ("sync_folder", 2), ("seal", 1)]
)
def test_killed_right_before_a_call(tmp_path: Path, call: str, number: int) -> None:
    acknowledged = run_until_killed(FOREVER, tmp_path, 1, 1, call, number)
    place = open_place(tmp_path)
    place.ingest.recover()
    try:
        for again in range(1, 6):
            place.send(content_of(again))
        assert lost_or_altered(place, [*acknowledged, *range(1, 6)]) == []
    finally:
        place.close()


def test_a_loss_and_an_altered_instance_are_seen(tmp_path: Path) -> None:
    """The control of the tests above."""
    place = open_place(tmp_path)
    try:
        place.send(content_of(1))
        place.send(content_of(2))
        assert lost_or_altered(place, [1, 2]) == []
        assert lost_or_altered(place, [1, 2, 3]) == ["3 is not listed", "3 was acknowledged and is lost"]
        assert lost_or_altered(place, [1, 2], lambda number: content_of(1)) == ["2 is not what was sent"]
    finally:
        place.close()
