"""Metadata of instances and series (PS3.18 §10.4.1.1.4): made once per series when it settles, then only looked up.

What is given out is a text in which the archive's address is missing; it has a slot for it. Whether what is kept is
still right is told by the series' revision in the index, one look-up by key, and never by time.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from enum import Enum
from typing import Final, NamedTuple

import pydicom

from pacs import log
from pacs.errors import NotFound, StorageError, StoredBytesDamaged
from pacs.index import Index
from pacs.index.contents import InstanceRow, SeriesContents, SeriesRow
from pacs.model import InstanceKey, Location, StoredInstance
from pacs.part10.header import Header, scan
from pacs.part10.instance_texts import InstanceTexts
from pacs.part10.json_text import JsonTexts
from pacs.part10.transfer_syntax import transfer_syntax
from pacs.part10.xml_text import BOUNDARY, XmlTexts
from pacs.recent import Recent
from pacs.storage.compressed_template import SLOT, Template, compress
from pacs.storage.derived import DerivedStore, metadata_name, xml_metadata_name
from pacs.storage.kept_metadata import KeptMetadata
from pacs.storage.segments import SegmentStore

__all__ = ["Form", "Metadata", "SeriesMetadata", "SeriesRow", "identity_of_instance"]

_FORM: Final = f"1 {pydicom.__version__}"
"""To be raised with every change of what the text says; a dictionary of another edition changes it, too."""
_MAX_SERIES_BYTES: Final = 32 << 20
"""Compressed series held by a process: some 300 of 1,000 images."""
_MAX_TEXT_BYTES: Final = 16 << 20
"""Texts of single instances held by a process: what arrived lately and is asked for while more arrives."""
_CHECKED_AT_INGEST: Final = 1 << 40
"""``ingest.max_inflated_bytes`` was kept to when the data set came; what is stored stays readable when it shrinks."""


class Form(Enum):
    """What metadata is told in."""

    JSON = b","
    """Objects with commas between them; in a slot white space, a quotation mark and the address."""
    XML = b"\r\n--%b\r\nContent-Type: application/dicom+xml\r\n\r\n" % BOUNDARY.encode("ascii")
    """Documents, each as a part of multipart/related; in a slot white space, ``uri="`` and the address."""

    @property
    def between(self) -> bytes:
        """What stands between two instances."""
        return self.value


class SeriesMetadata(NamedTuple):
    """Of all instances of a series in their order, what `Form` has between them, slots for the address."""

    identity: str
    """The same for the same instances in the same order, another one otherwise."""
    instances: int
    text: Template


class Metadata:
    """Thread-safe. Several processes may keep the same series; what they write is the same."""

    def __init__(self, index: Index, store: SegmentStore, derived: DerivedStore) -> None:
        self._index = index
        self._store = store
        self._derived = derived
        self._forms: dict[Form, InstanceTexts] = {Form.JSON: JsonTexts(), Form.XML: XmlTexts()}
        self._texts: Recent[bytes] = Recent(_MAX_TEXT_BYTES)
        self._series: Recent[tuple[str, SeriesMetadata]] = Recent(_MAX_SERIES_BYTES)
        self._inflating = threading.Lock()
        self._making = tuple(threading.Lock() for _ in range(16))
        """By series: who asks for one that is being made waits for it."""

    def series(self, hospital: str, study_instance_uid: str, series_instance_uid: str | None = None) -> list[SeriesRow]:
        """The series of a study, or one of them, in order; see `of_series`.

        Raises:
            NotFound: nothing is kept of this hospital under these UIDs.
            IndexUnavailable: the index does not answer.
        """
        rows = self._index.contents.series(hospital, study_instance_uid, series_instance_uid)
        if not rows:
            raise NotFound(f"nothing is kept of {series_instance_uid or study_instance_uid}"[:300])
        return rows

    def of_series(
        self, hospital: str, study_instance_uid: str, row: SeriesRow, form: Form = Form.JSON
    ) -> SeriesMetadata:
        """What the series consists of now, as of `row` or later.

        Raises:
            StorageError: the bytes of an instance are not there, or the index does not answer.
            MalformedDataSet, TooLarge: they are, and cannot be read any more.
        """
        key = (hospital, row.row, row.series_instance_uid, form)
        found = self._series.get(key)
        revision = _revision(row.revision)
        if found is not None and found[0] == revision:
            return found[1]
        with self._making[hash((row.row, form)) % len(self._making)]:
            found = self._series.get(key)
            if found is None or found[0] != revision:
                kept = self._kept(hospital, study_instance_uid, row, form) if row.is_settled else None
                if kept is None:
                    kept = self._made(hospital, study_instance_uid, row, form)
                    if row.is_settled and kept.revision == revision:
                        self._try_to_keep(hospital, _name(form, study_instance_uid, row.series_instance_uid), kept)
                found = (kept.revision, SeriesMetadata(kept.identity, kept.instances, kept.template))
                size = kept.template.compressed_bytes + 2000
                self._series.put(key, found, size)
        return found[1]

    def of_instance(self, instance: StoredInstance, form: Form = Form.JSON) -> bytes:
        """The JSON object or XML document of one instance, with slots for the address. Raises as `of_series`."""
        key = instance.key
        row = InstanceRow(key.sop_instance_uid, instance.transfer_syntax_uid, instance.digest, instance.location)
        return self._text(key, row, form)

    def keep(self, hospital: str, study_instance_uid: str, series_instance_uid: str) -> None:
        """Make the metadata of a series and keep it, if it is not kept already.

        Raises:
            StorageError: it cannot be read or kept.
            MalformedDataSet, TooLarge: as `of_series`.
        """
        for row in self._index.contents.series(hospital, study_instance_uid, series_instance_uid):
            for form in Form:
                if self._kept(hospital, study_instance_uid, row, form) is None:
                    kept = self._made(hospital, study_instance_uid, row, form)
                    self._derived.put(hospital, _name(form, study_instance_uid, series_instance_uid), kept.encoded())

    def _kept(self, hospital: str, study: str, row: SeriesRow, form: Form) -> KeptMetadata | None:
        """What is kept of the series, when it is of this revision."""
        content = self._derived.get(hospital, _name(form, study, row.series_instance_uid))
        kept = KeptMetadata.decoded(content) if content is not None else None
        return kept if kept is not None and kept.revision == _revision(row.revision) else None

    def _try_to_keep(self, hospital: str, name: str, kept: KeptMetadata) -> None:
        try:
            self._derived.put(hospital, name, kept.encoded())
        except StorageError as problem:
            log.failure("metadata cannot be kept", problem, name=name)

    def _made(self, hospital: str, study: str, row: SeriesRow, form: Form) -> KeptMetadata:
        contents = self._index.contents.instances(hospital, row.row)
        if not contents.instances:
            raise NotFound(f"nothing is kept of {row.series_instance_uid}")
        template = compress(self._joined(hospital, study, row.series_instance_uid, contents, form))
        return KeptMetadata(
            _revision(contents.revision), identity_of(contents.instances), len(contents.instances), template
        )

    def _joined(self, hospital: str, study: str, series: str, contents: SeriesContents, form: Form) -> Iterator[bytes]:
        for number, instance in enumerate(contents.instances):
            text = self._text(InstanceKey(hospital, study, series, instance.sop_instance_uid), instance, form)
            yield form.between + text if number else text

    def _text(self, key: InstanceKey, instance: InstanceRow, form: Form) -> bytes:
        # The data set names its UIDs itself, so its digest and syntax decide the text; no hospital stands in it.
        name = (instance.digest, instance.transfer_syntax_uid, form)
        text = self._texts.get(name)
        if text is None:
            path = f"/studies/{key.study_instance_uid}/series/{key.series_instance_uid}"
            path += f"/instances/{key.sop_instance_uid}/bulkdata/"
            header = self._header(key, instance)
            text = self._forms[form].text(header, instance.transfer_syntax_uid, SLOT + path.encode("ascii"))
            self._texts.put(name, text, len(text) + 500)
        return text

    def _header(self, key: InstanceKey, instance: InstanceRow) -> Header:
        data_set = self._view(key, instance.location)[instance.location.data_set_offset :]
        if not transfer_syntax(instance.transfer_syntax_uid).is_deflated:
            return scan(data_set, instance.transfer_syntax_uid)
        with self._inflating:  # one at a time: each is whole in memory
            return scan(data_set, instance.transfer_syntax_uid, max_inflated_bytes=_CHECKED_AT_INGEST)

    def _view(self, key: InstanceKey, location: Location) -> memoryview:
        try:
            return self._store.view(location)
        except NotFound as problem:
            # The row says that it is kept: to the client this is our fault, not a wrong name.
            raise StoredBytesDamaged(f"the bytes of instance {key.sop_instance_uid} are gone") from problem


def identity_of(instances: list[InstanceRow]) -> str:
    """What the text of these instances in this order depends on, as a digest."""
    names = "\n".join(f"{instance.digest} {instance.transfer_syntax_uid}" for instance in instances)
    return hashlib.sha256(f"{_FORM}\n{names}".encode()).hexdigest()


def identity_of_instance(instance: StoredInstance) -> str:
    """As `identity_of`, of one."""
    key = instance.key
    return identity_of(
        [InstanceRow(key.sop_instance_uid, instance.transfer_syntax_uid, instance.digest, instance.location)]
    )


def _revision(of_index: str) -> str:
    """What is kept is right as long as neither the series nor this program's way of telling it has changed."""
    return f"{of_index} {_FORM}"


def _name(form: Form, study_instance_uid: str, series_instance_uid: str) -> str:
    named = metadata_name if form is Form.JSON else xml_metadata_name
    return named(study_instance_uid, series_instance_uid)
