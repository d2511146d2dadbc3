"""The body of a store request of metadata and bulk data (PS3.18 §10.5.2): parts into instances.

Memory stays bounded whatever comes: parts wait in spools, metadata is read one document at a time in the process.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pacs.decoding.workers import Decoding
from pacs.dicomweb.accept import ContentType, parse_content_type
from pacs.dicomweb.multipart import MAX_PARTS
from pacs.dicomweb.store_bulk_data import (
    BulkPart,
    PendingInstance,
    Place,
    Range,
    check_bulk_data,
    check_inline_pixel_data,
    write_data_set,
)
from pacs.dicomweb.store_commits import Ready
from pacs.dicomweb.store_encoding import check_encoding
from pacs.dicomweb.store_pending import BulkLocation, encoded_pieces, pending_instance, uris_of
from pacs.dicomweb.store_pictures import native_parts
from pacs.dicomweb.store_response import Failed, Result, Warned
from pacs.dicomweb.store_uris import content_id_uri, resolved, text_of
from pacs.dicomweb.store_videos import look_at_videos
from pacs.errors import (
    Busy,
    InvalidRequest,
    MalformedDataSet,
    PacsError,
    TooLarge,
    UnsupportedMedia,
)
from pacs.ingest import Ingest
from pacs.ingest.memory import MemoryInFlight
from pacs.model import Source, Stored
from pacs.part10.data_set_writer import BulkReference
from pacs.part10.dicom_json_reader import read_json
from pacs.part10.dicom_xml_reader import read_xml
from pacs.part10.elements import PIXEL_DATA_TAGS
from pacs.part10.transfer_syntax import OCTET_STREAM
from pacs.storage.spool import MEMORY_BYTES

DICOM_JSON: Final = "application/dicom+json"
DICOM_XML: Final = "application/dicom+xml"
METADATA_TYPES: Final = frozenset({DICOM_JSON, DICOM_XML})
MAX_METADATA_BYTES: Final = 32 << 20
"""Of one request: the metadata of an enhanced multi-frame of about 10,000 frames."""

_MAX_LINKS: Final = MAX_PARTS
_FRAME = re.compile(r"(.+)/frames/([1-9][0-9]{0,8})\Z", re.DOTALL)
_reading = threading.Lock()
"""Metadata is whole in memory while it is read, at 10 times its size, so one request's at a time."""

_ENTRY_BYTES: Final = 1024
"""About what an instance, or a link to bulk data, costs until its request is over."""
_pending = MemoryInFlight(256 << 20)
"""Of all requests of the process; twice what one request may hold."""
_SPOOLS_BYTES: Final = 3 * MEMORY_BYTES
_spools = MemoryInFlight(64 << 20)

Outcomes = Iterator[Failed | Ready]


class MetadataParts:
    """Takes one request's parts. Not thread-safe."""

    def __init__(
        self,
        ingest: Ingest,
        source: Source,
        study_instance_uid: str | None,
        base: str = "",
        decoding: Decoding | None = None,
    ) -> None:
        """`base` is the URL of the request, to which its BulkDataURIs are relative; `decoding` transforms pictures."""
        self._ingest = ingest
        self._decoding = decoding
        self._source = source
        self._base = self._document_base = base
        self._study_instance_uid = study_instance_uid
        # Slow senders may have hundreds of these open: the first ones get memory, the others files.
        self._has_memory = _spools.take(_SPOOLS_BYTES, held=0)
        memory_bytes = MEMORY_BYTES if self._has_memory else 0
        self._documents = ingest.spool(max_bytes=MAX_METADATA_BYTES, memory_bytes=memory_bytes)
        self._encoded = ingest.spool(memory_bytes=memory_bytes)
        self._bulk = ingest.spool(memory_bytes=memory_bytes)
        self._pending_bytes = 0
        self._locations: dict[str, BulkLocation] = {}
        self._instances = 0
        self._links = 0
        self._in_spool: set[PendingInstance] = set()
        """Neither stored nor failed, and some of their bulk data is in its spool."""
        self._warnings: dict[str, str] = {}

    def begin(self, headers: Mapping[str, str], default_type: str) -> MetadataPart | BulkDataPart:
        """The receiver of a part with these header fields.

        Without a Content-Type it is `default_type`, or plain bytes where it has a Content-Location.
        """
        location = text_of(headers.get("content-location", "").strip())
        # Relative to the request, as each part is, or to the metadata before it, as the sender may mean it.
        names = [resolved(location, base) for base in (self._base, self._document_base)] if location else []
        names += [name] if (name := content_id_uri(text_of(headers.get("content-id", "")))) else []
        try:
            default_type = OCTET_STREAM if location or self.find(names)[0] is not None else default_type
            content_type = parse_content_type(headers.get("content-type") or default_type)
            check_encoding(headers)
        except (InvalidRequest, UnsupportedMedia) as problem:
            return BulkDataPart(self, names, location, ContentType(""), problem)
        if content_type.media_type in METADATA_TYPES and self.find(names)[0] is None:
            self._document_base = names[0] if location else self._base
            return MetadataPart(self, content_type.media_type, self._document_base)
        return BulkDataPart(self, names, location, content_type)

    def close(self) -> Outcomes:
        """No more parts come: what still waits fails, each instance by itself."""
        for uri, location in self._locations.items():
            for instance in location.instances:
                if not instance.is_decided and uri in instance.missing:
                    error = MalformedDataSet(
                        f"{location.missing()} whose Content-Location is the BulkDataURI {uri[:200]!r};"
                        " it is never fetched from elsewhere, send it in the same request"
                    )
                    yield self._failed(instance, error)

    def settle(self, results: list[Result]) -> list[Result]:
        """The results with what turned out after an instance was stored."""
        return [
            Warned(result, self._warnings[result.key.sop_instance_uid])
            if isinstance(result, Stored) and result.key.sop_instance_uid in self._warnings
            else result
            for result in results
        ]

    def clear(self) -> None:
        """Give back the room of everything that waits."""
        for spool in (self._documents, self._encoded, self._bulk):
            spool.clear()
        self._locations.clear()
        self._in_spool.clear()
        _pending.give_back(self._pending_bytes)
        self._pending_bytes = 0
        if self._has_memory:
            _spools.give_back(_SPOOLS_BYTES)
            self._has_memory = False

    def _hold(self, entries: int) -> None:
        """Count what is remembered of instances and links until the request is over. Raises `Busy`."""
        size = entries * _ENTRY_BYTES
        if not _pending.take(size, held=0):
            raise Busy("too many instances of other requests wait for their bulk data; send again")
        self._pending_bytes += size

    # -- metadata

    def read_document(self, media_type: str, base: str, offset: int, length: int) -> Outcomes:
        """Read a metadata part that lies in the spool of documents, and whose BulkDataURIs are relative to `base`."""
        whole: list[Failed | PendingInstance] = []
        problem: PacsError | None = None
        with _reading:
            document = b"".join(self._documents.read(offset, length))
            try:
                for attributes in iter([read_xml(document)]) if media_type == DICOM_XML else read_json(document):
                    whole.append(self._instance(attributes, base))  # noqa: PERF401 -- what came before a problem counts
            except PacsError as found:
                problem = found
            del document
        for outcome in whole:
            if isinstance(outcome, Failed):
                yield outcome
            elif not outcome.missing:
                yield self._finish(outcome)
        if problem is not None:
            yield Failed(problem)
        elif not whole:
            yield Failed(MalformedDataSet("the metadata holds no instance"))

    def keep_document(self, data: bytes) -> None:
        """Raises `TooLarge`, `StorageError`."""
        if self._documents.length + len(data) > MAX_METADATA_BYTES:
            raise TooLarge(
                f"the metadata of one request is larger than {MAX_METADATA_BYTES} bytes;"
                " send several requests, or application/dicom"
            )
        self._documents.write(data)

    @property
    def documents_length(self) -> int:
        return self._documents.length

    def _instance(self, attributes: Any, base: str) -> Failed | PendingInstance:
        self._instances += 1
        if self._instances > MAX_PARTS:
            raise TooLarge(f"more than {MAX_PARTS} instances in one request; send several")
        self._hold(1)
        instance = pending_instance(attributes)
        try:
            pieces = encoded_pieces(attributes, base)
            check_inline_pixel_data(instance, attributes)
            references = [piece for piece in pieces if isinstance(piece, BulkReference)]
            self._check_links(references)
            kept: list[Range | Place | BulkReference] = []
            for piece in pieces:
                if not isinstance(piece, bytes):
                    kept.append(piece)
                    continue
                kept.append(Range(self._encoded.length, len(piece)))
                self._encoded.write(piece)
        except PacsError as problem:
            return self._failed(instance, problem)
        instance.pieces = tuple(kept)
        for reference in references:
            self._link(instance, reference)
        return instance

    def _check_links(self, references: Sequence[BulkReference]) -> None:
        self._links += len(references)
        if self._links > _MAX_LINKS:
            raise TooLarge(f"more than {_MAX_LINKS} BulkDataURIs in one request; send several")
        self._hold(len(references))
        if any(reference.uri in self._locations and self._locations[reference.uri].parts for reference in references):
            raise MalformedDataSet("the metadata came after a part that it refers to; all metadata comes first")

    def _link(self, instance: PendingInstance, reference: BulkReference) -> None:
        location = self._locations.setdefault(reference.uri, BulkLocation(reference.uri))
        if reference.uri not in instance.missing:
            instance.missing.add(reference.uri)
            location.instances.append(instance)
            location.waiting += 1
        if reference.tag in PIXEL_DATA_TAGS and not reference.is_nested:
            location.frames = max(location.frames, instance.measure.number_of_frames)

    # -- bulk data

    def find(self, names: Sequence[str]) -> tuple[BulkLocation | None, int]:
        """Who waits for a part of one of these names, and the frame that it is by its name (0: any)."""
        for name in names:
            if (location := self._locations.get(name)) is not None:
                return location, 0
            if (match := _FRAME.match(name)) and (location := self._locations.get(match[1])) is not None:
                return location, int(match[2])
        return None, 0

    def keep_bulk_data(self, data: bytes) -> None:
        """Raises `TooLarge`, `StorageError`."""
        self._bulk.write(data)

    @property
    def bulk_length(self) -> int:
        return self._bulk.length

    def take(self, location: BulkLocation, part: BulkPart) -> Outcomes:
        """A part came whole: the instances that it completes."""
        if problem := location.misplaced(part):
            yield from self.fail(location, MalformedDataSet(problem))
            return
        if part.frame_number:
            location.frame_numbers.add(part.frame_number)
        if not location.parts:
            self._in_spool.update(instance for instance in location.instances if not instance.is_decided)
        location.parts.append(part)
        if location.is_complete:
            for instance in location.instances:
                instance.missing.discard(location.uri)
                if not instance.missing and not instance.is_decided:
                    yield self._finish(instance)
        self._give_back()

    def fail(self, location: BulkLocation, problem: PacsError) -> Outcomes:
        """What came for this URI is of no use: who still waits for anything fails, who is stored gets a warning."""
        if location.is_failed:
            return
        location.is_failed = True
        for instance in location.instances:
            if not instance.is_decided:
                yield self._failed(instance, problem)
            elif instance.sop_instance_uid:
                self._warnings[instance.sop_instance_uid] = f"{problem}; the first one was stored"
        self._give_back()

    def _give_back(self) -> None:
        """Empty the spool of bulk data when no instance waits for anything in it."""
        if not self._in_spool:
            self._bulk.clear()

    # -- instances

    def _finish(self, instance: PendingInstance) -> Failed | Ready:
        parts: dict[str, Sequence[BulkPart]] = {uri: self._locations[uri].parts for uri in uris_of(instance)}
        try:
            if self._decoding is not None:
                parts |= native_parts(instance, parts, self._bulk, self._decoding)
                look_at_videos(instance, parts, self._bulk, self._decoding)
            syntax = check_bulk_data(instance, parts, self._bulk)
            reception = self._ingest.begin(self._source, syntax, study_instance_uid=self._study_instance_uid)
            try:
                write_data_set(instance, parts, self._encoded, self._bulk, reception.write, syntax)
            except BaseException:
                reception.abort()
                raise
        except PacsError as problem:
            return self._failed(instance, problem)
        self._decide(instance)
        return Ready(reception, instance.sop_class_uid, instance.sop_instance_uid)

    def _decide(self, instance: PendingInstance) -> None:
        instance.is_decided = True
        self._in_spool.discard(instance)
        for uri in uris_of(instance):
            self._locations[uri].waiting -= 1

    def _failed(self, instance: PendingInstance, problem: PacsError) -> Failed:
        self._decide(instance)
        return Failed(problem, instance.sop_class_uid, instance.sop_instance_uid)


class MetadataPart:
    """A part that describes instances."""

    def __init__(self, owner: MetadataParts, media_type: str, base: str) -> None:
        self._owner = owner
        self._media_type = media_type
        self._base = base
        self._start = owner.documents_length
        self._problem: PacsError | None = None

    def write(self, data: bytes) -> None:
        """Take the next bytes; after a failure they are dropped."""
        if self._problem is None:
            try:
                self._owner.keep_document(data)
            except PacsError as problem:
                self._problem = problem

    def end(self) -> Outcomes:
        """The part is complete."""
        if self._problem is not None:
            return iter([Failed(self._problem)])
        length = self._owner.documents_length - self._start
        return self._owner.read_document(self._media_type, self._base, self._start, length)

    def abort(self) -> None:
        pass


class BulkDataPart:
    """A part that is a value, or a frame, of instances described before it."""

    def __init__(
        self,
        owner: MetadataParts,
        names: Sequence[str],
        written: str,
        content_type: ContentType,
        problem: PacsError | None = None,
    ) -> None:
        self._owner = owner
        self._location, self._frame_number = owner.find(names)
        self._content_type = content_type
        self._start = owner.bulk_length
        self._problem = problem
        if problem is None and self._location is None:
            name = f"with the Content-Location {written[:200]!r}" if written else "without a Content-Location"
            self._problem = InvalidRequest(f"A part {name} belongs to no BulkDataURI of the metadata before it")
            if not names and not content_type.media_type:
                self._problem = UnsupportedMedia("A part has neither Content-Type nor Content-Location")

    def write(self, data: bytes) -> None:
        """Take the next bytes; those that nobody waits for are dropped."""
        location = self._location
        if self._problem is not None or location is None or location.is_complete or not location.waiting:
            return
        try:
            self._owner.keep_bulk_data(data)
        except PacsError as problem:
            self._problem = problem

    def end(self) -> Outcomes:
        """The part is complete."""
        if self._location is None:
            return iter([Failed(self._problem)] if self._problem is not None else [])
        if self._problem is not None:
            return self._owner.fail(self._location, self._problem)
        if not self._location.waiting and not self._location.is_complete:
            return iter(())  # its instances have failed already, and are told why
        length = self._owner.bulk_length - self._start
        parameters = self._content_type.parameters
        part = BulkPart(
            self._start,
            length,
            self._content_type.media_type or OCTET_STREAM,
            parameters.get("transfer-syntax", "").strip(),
            self._frame_number,
            parameters.get("charset", "").strip().lower(),
        )
        return self._owner.take(self._location, part)

    def abort(self) -> None:
        pass
