"""A codec that ends its process does so once: the background worker does not die of the same image for ever."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from pacs import lifecycle
from pacs.lifecycle import Lifecycle
from pacs.settings import LifecycleSettings
from pacs.storage.derived import DerivedStore, metadata_name
from tests.ingest.small_archive import encoded, open_place


def settle(folder: Path) -> int:
    place = open_place(folder)
    try:
        derived = DerivedStore(folder / "derived")
        return Lifecycle(place.index, place.store, derived, LifecycleSettings(settle_after_s=0)).settle_once()
    finally:
        place.close()


def settle_in_a_process(folder: Path) -> int:
    """Its exit status, negative for a signal; the codec kills it."""
    child = os.fork()
    if not child:
        lifecycle.thumbnail = lambda *_arguments, **_options: os.kill(os.getpid(), signal.SIGKILL)
        settle(folder)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="forking a process with threads warns there")
def test_the_process_dies_once_for_each_image_it_may_try(tmp_path: Path) -> None:
    place = open_place(tmp_path)
    for number in range(1, 6):
        place.send(encoded(number))
    place.close()
    ends = [settle_in_a_process(tmp_path) for _ in range(5)]
    assert ends[0] == -signal.SIGKILL, "the control: the codec really ends its process"
    assert ends.count(-signal.SIGKILL) <= 3
    assert ends[-1] == 0
    assert settle(tmp_path) == 0, "the series is settled, without a picture"


def test_a_refusal_leaves_no_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pacs.errors import UndecodablePixels

    place = open_place(tmp_path)
    place.send(encoded(1))
    place.close()

    def refuse(*_arguments: object, **_options: object) -> bytes:
        raise UndecodablePixels("no")

    with monkeypatch.context() as patch:
        patch.setattr(lifecycle, "thumbnail", refuse)
        assert settle(tmp_path) == 1
    metadata = DerivedStore(tmp_path / "derived")._path("default", metadata_name("1.2.1", "1.2.2"))
    assert [path for path in tmp_path.glob("derived/**/*") if path.is_file()] == [metadata]
