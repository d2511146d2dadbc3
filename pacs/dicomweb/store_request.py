"""The body of a store request: parts into receptions, receptions into commits. Blocking; knows no HTTP."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from pacs.decoding.workers import Decoding
from pacs.dicomweb.accept import ContentType, parse_content_type
from pacs.dicomweb.multipart import Event, PartBegins, PartData, PartEnds
from pacs.dicomweb.store_commits import Commits, Ready
from pacs.dicomweb.store_encoding import check_encoding
from pacs.dicomweb.store_metadata import METADATA_TYPES, BulkDataPart, MetadataPart, MetadataParts
from pacs.dicomweb.store_response import Failed, Result
from pacs.errors import (
    InvalidRequest,
    MalformedDataSet,
    NotDicom,
    PacsError,
    ProtocolViolation,
    UnsupportedMedia,
)
from pacs.ingest import Ingest, Reception
from pacs.model import Source
from pacs.part10.file_meta import FileMeta, read_file_meta

DICOM = "application/dicom"
MAX_META_BYTES = (1 << 20) + 4096
"""Where `read_file_meta` gives up, too."""
_FIRST_LOOK_BYTES = 1024


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
    """Takes one request's body. Not thread-safe; after `close` or `fail`, `results` has one entry per instance.

    `media_type` says what the parts are: ``application/dicom``, or metadata (JSON or XML) followed by bulk data, whose
    names are relative to `base`, the URL of the request, and whose pictures `decoding` transforms.
    """

    def __init__(
        self,
        ingest: Ingest,
        source: Source,
        reader: PartReader,
        study_instance_uid: str | None,
        media_type: str = DICOM,
        base: str = "",
        decoding: Decoding | None = None,
    ) -> None:
        self._ingest = ingest
        self._source = source
        self._reader = reader
        self._study_instance_uid = study_instance_uid
        self._media_type = media_type
        self._metadata = (
            MetadataParts(ingest, source, study_instance_uid, base, decoding) if media_type in METADATA_TYPES else None
        )
        self._part: _PartReceiver | MetadataPart | BulkDataPart | None = None
        self._commits = Commits()

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
                    self._part = self._begin(headers)
                case PartData(data) if self._part is not None:
                    self._part.write(data)
                case PartEnds() if self._part is not None:
                    part, self._part = self._part, None
                    self._commits.take(part.end())
                case _:
                    pass

    def _begin(self, headers: Mapping[str, str]) -> _PartReceiver | MetadataPart | BulkDataPart:
        if self._metadata is not None:
            return self._metadata.begin(headers, self._media_type)
        return _PartReceiver(self._ingest, self._source, headers, self._study_instance_uid)

    def close(self) -> None:
        """The body is complete. Raises `ProtocolViolation` when it is not."""
        self._take(self._reader.close())
        if self._metadata is not None:
            self._commits.take(self._metadata.close())
        if not self._commits:
            raise ProtocolViolation(f"The body holds no part; send at least one {self._media_type} instance")

    @property
    def is_without_outcome(self) -> bool:
        """Whether nothing can be said of any instance yet."""
        return not self._commits

    def fail(self, problem: PacsError) -> None:
        """Forget what was not whole yet; `problem` becomes a result of its own."""
        self._forget_part()
        self._commits.take([Failed(problem)])
        if self._metadata is not None:
            self._commits.take(self._metadata.close())

    def abort(self) -> None:
        """Forget what was not whole yet."""
        self._forget_part()
        if self._metadata is not None:
            self._metadata.clear()

    def _forget_part(self) -> None:
        if self._part is not None:
            self._part.abort()
            self._part = None

    def results(self) -> list[Result]:
        """Wait until everything is stored or failed; in the order in which that was known."""
        results = self._commits.results()
        if self._metadata is not None:
            self._metadata.clear()
            return self._metadata.settle(results)
        return results


class _PartReceiver:
    """One part: finds the file meta information, then passes the data set on. Errors become `failure`."""

    def __init__(
        self, ingest: Ingest, source: Source, headers: Mapping[str, str], study_instance_uid: str | None
    ) -> None:
        self._ingest = ingest
        self._source = source
        self._study_instance_uid = study_instance_uid
        self._head = bytearray()
        self._next_look = _FIRST_LOOK_BYTES
        self._meta: FileMeta | None = None
        self._reception: Reception | None = None
        self.failure: Failed | None = None
        content_type = headers.get("content-type") or DICOM
        try:
            check_encoding(headers)
            media_type = parse_content_type(content_type).media_type
        except (InvalidRequest, UnsupportedMedia) as problem:
            self._fail(problem)
            return
        if media_type != DICOM:
            self._fail(UnsupportedMedia(f"A part has Content-Type {content_type[:60]!r}; it must be {DICOM}"))

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

    def end(self) -> list[Failed | Ready]:
        """The part is complete: it is ready, or the reason why it is not."""
        if self.failure is None and self._reception is None:
            try:
                if not self._head:
                    raise MalformedDataSet("The part is empty; send the DICOM file itself")
                self._begin_when_head_is_whole(is_all=True)
            except PacsError as problem:
                self._fail(problem)
        if self._reception is None or self._meta is None or self.failure is not None:
            return [self.failure] if self.failure is not None else []
        return [Ready(self._reception, self._meta.sop_class_uid, self._meta.sop_instance_uid)]

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
