"""kill -9 while versions are stored: all that were acknowledged are kept, the newest is served, also when rebuilt."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pydicom
import pytest
from sqlalchemy import create_engine, text

from pacs.model import Location
from tests.crash.killed import run_until_killed
from tests.crash.version_forever import SETTINGS, content_of
from tests.ingest.small_archive import Place, open_place

FOREVER = "tests.crash.version_forever"


def content_at(place: Place, location: Location) -> bytes:
    return bytes(place.store.view(location)[location.data_set_offset :])


def check(place: Place, acknowledged: list[int]) -> list[tuple[object, ...]]:
    """Everything that is told of the instances, after it was found right."""
    told: list[tuple[object, ...]] = []
    for uid in range(3):
        row = place.index.instance("default", "1.2.1", "1.2.2", f"1.2.3.{uid}")
        versions = place.index.versions("default", f"1.2.3.{uid}")
        sent = [number for number in acknowledged if number % 3 == uid]
        assert row is not None or not sent
        kept: dict[str, bytes] = {}
        for each in versions:
            assert each.location is not None
            kept[each.digest] = content_at(place, each.location)
        if row is not None:
            kept[row.digest] = content_at(place, row.location)
            file = pydicom.dcmread(io.BytesIO(bytes(place.store.view(row.location))))
            assert file.InstitutionName == "Coerced"
            assert int(file.PatientComments) >= max(sent, default=0)
            told.append((row.digest, row.location))
        assert all(hashlib.sha256(content).hexdigest() == digest for digest, content in kept.items())
        for number in sent:
            content = content_of(number)
            assert kept.get(hashlib.sha256(content).hexdigest()) == content, f"{number} was acknowledged and is lost"
        told += [(each.digest, each.location, each.reason) for each in versions]
    return told


def check_all(folder: Path, acknowledged: list[int]) -> None:
    for _ in range(2):
        place = open_place(folder, **SETTINGS)
        place.ingest.recover()
        try:
            told = check(place, acknowledged)
            numbers = place.index.holdings().instances, place.index.holdings().stored_bytes
        finally:
            place.close()
        again = open_place(folder)  # whatever the setting is now
        again.ingest.recover()
        assert check(again, acknowledged) == told
        assert (again.index.holdings().instances, again.index.holdings().stored_bytes) == numbers
        again.close()
        for path in folder.glob("index.sqlite*"):
            path.unlink()


def test_killed_again_and_again_no_version_is_lost(tmp_path: Path) -> None:
    acknowledged: list[int] = []
    for round_number in range(2):
        acknowledged += run_until_killed(FOREVER, tmp_path, 1000 * round_number + 3, after=8 + round_number)
    check_all(tmp_path, acknowledged)


@pytest.mark.parametrize(("call", "number"), [("write", 8), ("sync", 4), ("seal", 3)])
def test_killed_right_before_a_call(tmp_path: Path, call: str, number: int) -> None:
    acknowledged = run_until_killed(FOREVER, tmp_path, 3, call, number)
    check_all(tmp_path, acknowledged)
    place = open_place(tmp_path, **SETTINGS)
    place.ingest.recover()
    for again in range(3, 9):  # what the senders would do
        place.send(content_of(again))
    check(place, [*acknowledged, *range(3, 9)])
    place.close()


def test_a_version_that_is_gone_is_seen(tmp_path: Path) -> None:
    """The control of the tests above."""
    place = open_place(tmp_path, **SETTINGS)
    for number in range(3, 9):
        place.send(content_of(number))
    check(place, list(range(3, 9)))
    engine = create_engine(f"sqlite:///{tmp_path / 'index.sqlite'}")
    with engine.begin() as connection:
        connection.execute(
            text("DELETE FROM versions WHERE id = (SELECT max(id) FROM versions WHERE reason = 'coerced')")
        )
    engine.dispose()
    with pytest.raises(AssertionError, match="acknowledged and is lost"):
        check(place, list(range(3, 9)))
    place.close()
