"""kill -9 after a random number of acknowledgements: nothing acknowledged is lost, and the next start goes on."""

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
ROUNDS = int(os.environ.get("PACS_KILL_ROUNDS", "1000" if os.environ.get("PACS_SOAK") else "10"))


def check(place: Place, acknowledged: list[int], content_of: Callable[[int], bytes] = content_of) -> None:
    for number in acknowledged:
        row = place.index.instance("default", "1.2.1", "1.2.2", f"1.2.3.{number}")
        assert row is not None, f"instance {number} was acknowledged and is lost"
        assert bytes(place.store.view(row.location)[row.location.data_set_offset :]) == content_of(number)
    # Never a row without bytes, acknowledged or not.
    for row in place.index.instances("default", study_instance_uid="1.2.1"):
        number = int(row.key.sop_instance_uid.rpartition(".")[2])
        assert bytes(place.store.view(row.location)[row.location.data_set_offset :]) == content_of(number)


@pytest.mark.timeout(14400 if ROUNDS > 100 else 600)
@pytest.mark.parametrize("threads", [1, 8])
def test_killed_again_and_again_nothing_acknowledged_is_lost(tmp_path: Path, threads: int) -> None:
    acknowledged: list[int] = []
    chance = random.Random(threads)
    for round_number in range(ROUNDS):
        after = chance.randrange(1, 40)
        acknowledged += run_until_killed(FOREVER, tmp_path, 1000 * round_number + 1, threads, after=after)
    place = open_place(tmp_path)
    place.ingest.recover()
    try:
        check(place, acknowledged)
        # Taken over again and again, not left behind: the open ones of one process, and one per large instance.
        large = sum(1 for number in acknowledged if number % 10 == 3)
        assert len(list(tmp_path.glob("objects/*/*.tar"))) <= large + ROUNDS * (threads + 1)
    finally:
        place.close()


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
        check(place, [*acknowledged, *range(1, 6)])
    finally:
        place.close()
