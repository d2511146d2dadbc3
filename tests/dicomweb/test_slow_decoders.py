"""Who asks for what is stored waits for nobody's transcoding, however many of them and however slow."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom.uid import RLELossless

from pacs.dicomweb import hot
from pacs.dicomweb.app import dicomweb_app
from pacs.dicomweb.resources import ResourceKey
from pacs.dicomweb.responses import in_making_thread, in_thread
from pacs.model import Principal
from pacs.settings import TranscodingSettings
from pacs.thumbnails import NotMade
from pacs.transcoding import Transcoding
from tests.dicomweb.served import DoorInMemory, archive_under, image, mounted

HTJ2K = "image/jphc; transfer-syntax=1.2.840.10008.1.2.4.201"
LISTED = 'multipart/related; type="image/jphc"; transfer-syntax=1.2.840.10008.1.2.4.201'
FILE = "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.201"
STORED = "application/octet-stream"
THREADS = 8
"""That wait for decoders, and as many that look up."""
LOOKING_UP = 4
"""Threads for thumbnails."""
MANY = 12
"""More than there are threads of any kind."""


class SlowDecoders:
    """Nothing comes out of them until they are told."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.begun = threading.Semaphore(0)

    def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        self.begun.release()
        assert self.may_go_on.wait(30)
        return function(*args, **kwargs)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[DoorInMemory]:
    with archive_under(tmp_path) as services:
        yield DoorInMemory(*services)


async def asked(door: DoorInMemory, accept: str, suffix: str, looked_at: list[str], keys: list[ResourceKey]) -> Any:
    """Statuses of slow requests, and of quick ones that were answered before any of those."""
    decoders = SlowDecoders()
    transcoding = Transcoding(door.retrieve, None, TranscodingSettings(), decoding=decoders)
    app = mounted(dicomweb_app(door.ingest, door.search, door.retrieve, transcoding=transcoding))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=door.base) as client:
        slow = [
            asyncio.create_task(client.get(f"{keys[number].path}{suffix}", headers={"accept": accept}))
            for number in range(MANY)
        ]
        try:
            for _ in range(THREADS):
                assert await asyncio.to_thread(decoders.begun.acquire, timeout=20), "each thread has one to make"
            quick = []
            for path in looked_at:
                answer = await asyncio.wait_for(client.get(path, headers={"accept": "*/*"}), 5)
                quick.append(answer.status_code)
            assert not any(task.done() for task in slow)
        finally:
            decoders.may_go_on.set()
            answers = await asyncio.gather(*slow, return_exceptions=True)
        return [answer.status_code for answer in answers if isinstance(answer, httpx.Response)], quick


@pytest.mark.parametrize(("accept", "suffix"), [(HTJ2K, "/frames/1"), (LISTED, "/frames/1"), (FILE, "")])
def test_stored_frames_do_not_wait(door: DoorInMemory, accept: str, suffix: str) -> None:
    keys = [door.keep(image()) for _ in range(MANY)]
    path = keys[0].path
    looked_at = [f"{path}/frames/1", path, f"{path}/metadata", f"{path}/bulkdata/7FE00010"]
    slow, quick = asyncio.run(asked(door, accept, suffix, looked_at, keys))
    assert (slow, quick) == ([200] * MANY, [200] * len(looked_at))


@pytest.mark.parametrize(
    ("accept", "suffix"),
    [("image/jpeg", "rendered"), ("image/gif", "frames/1/rendered"), ("image/jpeg", "thumbnail?viewport=9,9")],
)
def test_pictures_that_wait_keep_nobody_else_waiting(
    door: DoorInMemory, monkeypatch: pytest.MonkeyPatch, accept: str, suffix: str
) -> None:
    keys = _compressed(door)
    for key in keys:
        assert door.get(f"{key.path}/thumbnail").status_code == 200, "and kept"
    plain = door.keep(image())
    assert door.get(f"{plain.path}/thumbnail").status_code == 200
    decoders = SlowDecoders()
    monkeypatch.setattr(door.retrieve, "decoding", decoders)
    app = mounted(dicomweb_app(door.ingest, door.search, door.retrieve))

    async def ask() -> list[int]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=door.base) as client:
            urls = [f"{key.path}/{suffix}" for key in keys]
            slow = [asyncio.create_task(client.get(url, headers={"accept": accept})) for url in urls]
            try:
                for _ in range(THREADS):
                    assert await asyncio.to_thread(decoders.begun.acquire, timeout=20), "each thread has one to make"
                for path in (f"{plain.path}/frames/1", f"{plain.path}/rendered", f"{plain.path}/thumbnail"):
                    quick = await asyncio.wait_for(client.get(path), 5)
                    assert quick.status_code == 200
                assert not any(task.done() for task in slow)
            finally:
                decoders.may_go_on.set()
                answers = await asyncio.gather(*slow)
            return [answer.status_code for answer in answers]

    assert asyncio.run(ask()) == [200] * MANY


def _compressed(door: DoorInMemory) -> list[ResourceKey]:
    """As many images, each in a series of its own, which nobody has looked at; a decoder has to be asked for each."""
    keys = []
    for _ in range(MANY):
        squeezed = image()
        squeezed.compress(RLELossless, generate_instance_uid=False)
        keys.append(door.keep(squeezed))
    return keys


def _looked_at_beside_thumbnails(door: DoorInMemory, depth: int, suffix: str, patience_s: float = 5) -> list[int]:
    """Statuses of thumbnails that nobody has made yet; meanwhile others are looked at."""
    plain = door.keep(image())
    series = "/".join(plain.path.split("/")[:5])
    looked_at = [f"{plain.path}/thumbnail", f"{series}/thumbnail", f"{plain.path}/frames/1"]
    for path in looked_at:
        assert door.get(path).status_code == 200, "and kept"
    keys, decoders = _compressed(door), SlowDecoders()
    paths = ["/".join(key.path.split("/")[:depth]) + suffix for key in keys]
    door.retrieve.thumbnails._decoding = decoders
    app = mounted(dicomweb_app(door.ingest, door.search, door.retrieve))

    async def each_thread(of_kind: int) -> None:
        for _ in range(of_kind):
            assert await asyncio.to_thread(decoders.begun.acquire, timeout=20), "each thread has one to make"

    async def ask() -> list[int]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=door.base) as client:
            slow = [asyncio.create_task(client.get(path)) for path in paths]
            try:
                await each_thread(LOOKING_UP)
                for path in looked_at:
                    quick = await asyncio.wait_for(client.get(path), patience_s)
                    assert quick.status_code == 200
                await each_thread(THREADS - LOOKING_UP)
                assert not any(task.done() for task in slow)
            finally:
                decoders.may_go_on.set()
                answers = await asyncio.gather(*slow, return_exceptions=True)
            return [answer.status_code for answer in answers if isinstance(answer, httpx.Response)]

    return asyncio.run(ask())


THUMBNAILS = [(7, "/thumbnail"), (7, "/frames/1/thumbnail"), (5, "/thumbnail"), (3, "/thumbnail")]
"""Of instances, frames, series that have not settled, and studies of these."""


@pytest.mark.parametrize(("depth", "suffix"), THUMBNAILS)
def test_thumbnails_that_have_to_be_made_keep_no_look_up_waiting(door: DoorInMemory, depth: int, suffix: str) -> None:
    assert _looked_at_beside_thumbnails(door, depth, suffix) == [200] * MANY


@pytest.mark.parametrize(("depth", "suffix"), THUMBNAILS[::2])
def test_control_made_where_thumbnails_are_looked_up_they_would(
    door: DoorInMemory, monkeypatch: pytest.MonkeyPatch, depth: int, suffix: str
) -> None:
    monkeypatch.setattr(hot, "in_decoding_thread", in_making_thread)
    with pytest.raises(TimeoutError):
        _looked_at_beside_thumbnails(door, depth, suffix, patience_s=1)


def test_of_one_series_that_is_being_chosen_the_others_are_looked_up(door: DoorInMemory) -> None:
    """Who looks up does not wait for the turn of who makes."""
    (key, *_), decoders = _compressed(door), SlowDecoders()
    thumbnails = door.retrieve.thumbnails
    thumbnails._decoding = decoders
    (row,) = door.retrieve.series(Principal("test"), key.study_instance_uid, key.series_instance_uid)
    making = threading.Thread(target=thumbnails.of_series, args=("default", key.study_instance_uid, row))
    making.start()
    try:
        assert decoders.begun.acquire(timeout=20)
        with pytest.raises(NotMade):
            thumbnails.of_series("default", key.study_instance_uid, row, make=False)
    finally:
        decoders.may_go_on.set()
        making.join()
    assert thumbnails.of_series("default", key.study_instance_uid, row, make=False).picture


def test_frames_that_were_made_before_do_not_wait(door: DoorInMemory) -> None:
    keys = [door.keep(image()) for _ in range(MANY + 1)]
    decoders = SlowDecoders()
    transcoding = Transcoding(door.retrieve, None, TranscodingSettings(), decoding=decoders)
    decoders.may_go_on.set()
    app = mounted(dicomweb_app(door.ingest, door.search, door.retrieve, transcoding=transcoding))

    async def ask() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=door.base) as client:
            made = f"{keys[MANY].path}/frames/1"
            first = await client.get(made, headers={"accept": HTJ2K})
            decoders.may_go_on.clear()
            slow = [
                asyncio.create_task(client.get(f"{key.path}/frames/1", headers={"accept": HTJ2K}))
                for key in keys[:MANY]
            ]
            try:
                await asyncio.to_thread(decoders.begun.acquire, timeout=20)
                again = await asyncio.wait_for(client.get(made, headers={"accept": HTJ2K, "x-other": "1"}), 5)
                assert again.content == first.content
            finally:
                decoders.may_go_on.set()
                await asyncio.gather(*slow)

    asyncio.run(ask())


def test_control_in_the_threads_of_look_ups_they_would_wait(
    door: DoorInMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hot, "in_decoding_thread", in_thread)
    keys = [door.keep(image()) for _ in range(MANY)]
    with pytest.raises(TimeoutError):
        asyncio.run(asked(door, HTJ2K, "/frames/1", [f"{keys[0].path}/frames/1"], keys))
