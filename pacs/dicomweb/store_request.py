"""The body of a store request: parts into receptions, receptions into commits. Blocking; knows no HTTP."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from pacs import log
from pacs.dicomweb.accept import ContentType, parse_content_type
from pacs.dicomweb.multipart import Event, PartBegins, PartData, PartEnds
from pacs.dicomweb.store_response import Failed, Result
from pacs.errors import (
    InvalidRequest,
    MalformedDataSet,
    NotDicom,
    PacsError,
    ProtocolViolation,
    StorageError,
    UnsupportedMedia,
)
from pacs.ingest import Ingest, Reception
from pacs.model import Source, Stored
from pacs.part10.file_meta import FileMeta, read_file_meta

DICOM = "application/dicom"
MAX_META_BYTES = (1 << 20) + 4096
"""Where `read_file_meta` gives up, too."""
_FIRST_LOOK_BYTES = 1024
_MAX_COMMITS = 8
_MAX_WAITING_BYTES = 16 << 20
"""Received and not yet committed, per request; beyond it the client waits."""

_committers = ThreadPoolExecutor(32, "dicomweb-commit")
"""Commits of one request run side by side, so that they share one sync of the disk."""


class PartReader(Protocol):
    """Turns the bytes of a body into parts."""

    def feed(self, chunk: bytes) -> Iterator[Event]: ...

    def close(self) -> Sequence[Event]:
        """Say that no more bytes come; the events that this completes. Raises `ProtocolViolation` when more should."""


class SinglePart:
    """A body that is itself the one part."""

    def __init__(self, content_type: ContentType) -> None:
        self._headers = {"content-type": content_type.media_type}
        self._is_begun = False

    def feed(self, chunk: bytes) -> Iterator[Event]:
        if not chunk:
            return
        if not self._is_begun:
            self._is_begun = True
            yield PartBegins(self._headers)
        yield PartData(chunk)

    def close(self) -> Sequence[Event]:
        return (PartEnds(),) if self._is_begun else ()


class StoreRequest:
    """Takes one request's body. Not thread-safe; after `close` or `fail`, `results` has one entry per part."""

    def __init__(self, ingest: Ingest, source: Source, reader: PartReader, study_instance_uid: str | None) -> None:
        self._ingest = ingest
        self._source = source
        self._reader = reader
        self._study_instance_uid = study_instance_uid
        self._part: _PartReceiver | None = None
        self._results: list[Failed | Future[Result]] = []
        self._waiting: deque[tuple[Future[Result], int]] = deque()

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body.

        Raises:
            ProtocolViolation: the body is no multipart body; what was whole before is still stored.
        """
        self._take(self._reader.feed(chunk))

    def _take(self, events: Iterable[Event]) -> None:
        for event in events:
            match event:
                case PartBegins(headers):
                    content_type = headers.get("content-type", DICOM)
                    self._part = _PartReceiver(self._ingest, self._source, content_type, self._study_instance_uid)
                case PartData(data) if self._part is not None:
                    self._part.write(data)
                case PartEnds() if self._part is not None:
                    part, self._part = self._part, None
                    self._commit(part)
                case _:
                    pass

    def close(self) -> None:
        """The body is complete. Raises `ProtocolViolation` when it is not."""
        self._take(self._reader.close())
        if not self._results:
            raise ProtocolViolation("The body holds no part; send at least one application/dicom instance")

    def fail(self, problem: PacsError) -> None:
        """Forget the part that was arriving; `problem` becomes a result of its own."""
        self.abort()
        self._results.append(Failed(problem))

    def abort(self) -> None:
        """Forget the part that was arriving."""
        if self._part is not None:
            self._part.abort()
            self._part = None

    def results(self) -> list[Result]:
        """Wait until every part is stored or failed; in the order of the parts."""
        return [result.result() if isinstance(result, Future) else result for result in self._results]

    def _commit(self, part: _PartReceiver) -> None:
        part.end()
        if part.failure is not None:
            self._results.append(part.failure)
            return
        future = _committers.submit(part.commit)
        self._results.append(future)
        self._waiting.append((future, part.received_bytes))
        while len(self._waiting) > _MAX_COMMITS or sum(size for _, size in self._waiting) > _MAX_WAITING_BYTES:
            self._waiting.popleft()[0].result()


class _PartReceiver:
    """One part: finds the file meta information, then passes the data set on. Errors become `failure`."""

    def __init__(self, ingest: Ingest, source: Source, content_type: str, study_instance_uid: str | None) -> None:
        self._ingest = ingest
        self._source = source
        self._study_instance_uid = study_instance_uid
        self._head = bytearray()
        self._next_look = _FIRST_LOOK_BYTES
        self._meta: FileMeta | None = None
        self._reception: Reception | None = None
        self.failure: Failed | None = None
        try:
            media_type = parse_content_type(content_type).media_type
        except InvalidRequest as problem:
            self._fail(problem)
            return
        if media_type != DICOM:
            self._fail(UnsupportedMedia(f"A part has Content-Type {content_type[:60]!r}; it must be {DICOM}"))

    @property
    def received_bytes(self) -> int:
        return self._reception.received_bytes if self._reception is not None else 0

    def write(self, data: bytes) -> None:
        """Take the next bytes of the part; after a failure they are dropped."""
        if self.failure is not None:
            return
        try:
            if self._reception is not None:
                self._reception.write(data)
                return
            self._head += data
            if len(self._head) >= self._next_look:
                self._next_look = 2 * len(self._head)
                self._begin_when_head_is_whole(is_all=False)
        except PacsError as problem:
            self._fail(problem)

    def end(self) -> None:
        """The part is complete."""
        if self.failure is not None or self._reception is not None:
            return
        try:
            if not self._head:
                raise MalformedDataSet("The part is empty; send the DICOM file itself")
            self._begin_when_head_is_whole(is_all=True)
        except PacsError as problem:
            self._fail(problem)

    def commit(self) -> Result:
        """Make it durable. Never raises."""
        assert self._reception is not None  # noqa: S101 -- for the type checker: `end` made it or set `failure`
        try:
            stored: Stored = self._reception.commit()
        except PacsError as problem:
            return self._failed(problem)
        except Exception as problem:  # noqa: BLE001 -- the client must be told of its own part, whatever it was
            log.failure("store failed", problem, route="STOW-RS")
            return self._failed(StorageError("An unexpected error; nothing of this instance was stored"))
        return stored

    def abort(self) -> None:
        if self._reception is not None:
            self._reception.abort()

    def _begin_when_head_is_whole(self, *, is_all: bool) -> None:
        """Read the head; when it may be torn and more can come, leave it for the next look."""
        is_last_chance = is_all or len(self._head) > MAX_META_BYTES
        try:
            meta = read_file_meta(bytes(self._head))
        except NotDicom:
            if is_last_chance or not _may_become_dicom(self._head):
                raise
            return
        # Group 0002 ends where another group begins, so the next element must be seen.
        if meta.data_set_offset + 8 > len(self._head) and not is_last_chance:
            return
        self._meta = meta
        self._reception = self._ingest.begin(
            self._source, meta.transfer_syntax_uid, study_instance_uid=self._study_instance_uid
        )
        with memoryview(self._head) as head, head[meta.data_set_offset :] as data_set:
            self._reception.write(data_set)
        self._head = bytearray()

    def _fail(self, problem: PacsError) -> None:
        self.abort()
        self._head = bytearray()
        self.failure = self._failed(problem)

    def _failed(self, problem: PacsError) -> Failed:
        meta = self._meta
        return Failed(problem, meta.sop_class_uid, meta.sop_instance_uid) if meta else Failed(problem)


def _may_become_dicom(head: bytearray) -> bool:
    return head[128:132] == b"DICM" or head[:4] == b"DICM" or head[:2] == b"\x02\x00"
