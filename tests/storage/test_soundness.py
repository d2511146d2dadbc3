from __future__ import annotations

import hashlib

import pytest

from pacs.errors import StoredBytesDamaged
from pacs.model import Location
from pacs.storage import soundness
from pacs.storage.soundness import Soundness

CONTENT = bytes(range(256)) * 40
DIGEST = hashlib.sha256(CONTENT).hexdigest()
PLACE = Location("default/0", 1024, len(CONTENT), 0)


def test_what_was_stored_is_sound_and_read_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    checked = Soundness()
    read_through: list[int] = []

    def sha256(data: memoryview) -> object:
        read_through.append(len(data))
        return whole(data)

    whole = hashlib.sha256
    monkeypatch.setattr(hashlib, "sha256", sha256)
    for _ in range(3):
        checked.require(PLACE, DIGEST, memoryview(CONTENT))
    assert read_through == [len(CONTENT)]


@pytest.mark.parametrize("position", [0, 5000, len(CONTENT) - 1])
def test_one_changed_bit_is_seen_again_and_again(position: int) -> None:
    changed = bytearray(CONTENT)
    changed[position] ^= 1
    checked = Soundness()
    for _ in range(2):
        with pytest.raises(StoredBytesDamaged):
            checked.require(PLACE, DIGEST, memoryview(changed))


def test_another_place_or_digest_is_another_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soundness, "_MAX_REMEMBERED", 2)
    checked = Soundness()
    checked.require(PLACE, DIGEST, memoryview(CONTENT))
    with pytest.raises(StoredBytesDamaged):
        checked.require(PLACE, "0" * 64, memoryview(CONTENT))
    for number in range(5):
        checked.require(Location("default/1", number, len(CONTENT), 0), DIGEST, memoryview(CONTENT))
    assert len(checked._sound) == 2
