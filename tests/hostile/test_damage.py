"""Bytes that changed where they are stored are never given out as if they were the patient's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pacs import retrieve as module
from pacs.errors import StoredBytesDamaged
from pacs.model import Principal, StoredInstance
from pacs.retrieve import Retrieve
from pacs.storage.derived import DerivedStore
from tests.ingest.small_archive import Place, encoded, open_place

READS: list[Callable[[Retrieve, StoredInstance], object]] = [
    lambda retrieve, instance: retrieve.file(instance),
    lambda retrieve, instance: retrieve.data_set(instance),
    lambda retrieve, instance: retrieve.frames(instance, (1,)),
    lambda retrieve, instance: retrieve.thumbnail(instance, 1),
]


@pytest.fixture
def place(tmp_path: Path):
    opened = open_place(tmp_path)
    opened.send(encoded(1))
    yield opened
    opened.close()


def read(place: Place, tmp_path: Path) -> tuple[Retrieve, StoredInstance]:
    retrieve = Retrieve(place.store, place.index, DerivedStore(tmp_path / "derived"))
    return retrieve, retrieve.instance(Principal("x"), "1.2.1", "1.2.2", "1.2.3.1")


def flip(tmp_path: Path, instance: StoredInstance, position: int) -> None:
    """One bit of the Part 10 file, counted from its first byte, or from its last."""
    (segment,) = tmp_path.glob("objects/*/*.tar")
    start = instance.location.offset if position >= 0 else instance.location.offset + instance.location.length
    with segment.open("r+b") as file:
        file.seek(start + position)
        byte = file.read(1)[0]
        file.seek(start + position)
        file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("read_one", READS)
@pytest.mark.parametrize("place_of_damage", ["first byte of the data set", "a pixel"])
def test_a_flipped_bit_is_seen(place: Place, tmp_path: Path, read_one, place_of_damage: str) -> None:
    retrieve, instance = read(place, tmp_path)
    flip(tmp_path, instance, -20 if place_of_damage == "a pixel" else instance.location.data_set_offset)
    with pytest.raises(StoredBytesDamaged):
        read_one(retrieve, instance)


@pytest.mark.parametrize("read_one", READS)
def test_sound_bytes_are_given_out(place: Place, tmp_path: Path, read_one) -> None:
    assert read_one(*read(place, tmp_path))


@pytest.mark.parametrize("position", [128, 140, 160])
def test_a_flipped_bit_of_the_file_meta_is_seen_where_it_matters(place: Place, tmp_path: Path, position: int) -> None:
    retrieve, instance = read(place, tmp_path)
    (segment,) = tmp_path.glob("objects/*/*.tar")
    file_meta = segment.read_bytes()[instance.location.offset :][: instance.location.data_set_offset]
    syntax = file_meta.index(instance.transfer_syntax_uid.encode())
    flip(tmp_path, instance, syntax if position == 160 else position)
    if position == 140:
        retrieve.data_set(instance)  # the group's length, which nobody needs to read a whole file
    else:
        with pytest.raises(StoredBytesDamaged):
            retrieve.file(instance)


def test_the_first_frame_of_a_very_large_instance_does_not_wait(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit of the promise, so that nobody takes it for more: whole reads are checked all the same."""
    monkeypatch.setattr(module, "_MAX_CHECKED_FOR_A_FRAME", 100)
    retrieve, instance = read(place, tmp_path)
    flip(tmp_path, instance, -20)
    assert retrieve.frames(instance, (1,))
    with pytest.raises(StoredBytesDamaged):
        retrieve.data_set(instance)
