"""Making attributes searchable: the words of an operator, and the background work that keeps their values."""

from __future__ import annotations

import re

from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword

from pacs import log
from pacs.errors import InvalidRequest, NotFound, PeerFault, StoredBytesDamaged
from pacs.index import Index
from pacs.index.columns import level_of
from pacs.index.results import INSTANCE_AVAILABILITY
from pacs.index.searchable import LEVELS, Progress, SearchableAttribute, Unlooked
from pacs.model import DicomJson, Level
from pacs.part10.dicom_json import to_json
from pacs.part10.header import Header, scan
from pacs.part10.indexed_attributes import INSTANCE_TAGS, PATIENT_TAGS, SERIES_TAGS, STUDY_TAGS
from pacs.storage.segments import SegmentStore

_AT_ONCE = 100
"""Instances between two transactions: half a second of work that a crash may repeat."""
_STANDARD = re.compile(r"\(?([0-9A-Fa-f]{4}),?([0-9A-Fa-f]{4})\)?\Z")
_PRIVATE = re.compile(r'"?([^"]{1,64})"?,\(?([0-9A-Fa-f]{4}),(?:xx|[0-9A-Fa-f]{2})([0-9A-Fa-f]{2})\)?\Z')
_MAX_DEPTH = 4
_KEPT = {
    tag: level
    for level, tags in (
        (Level.STUDY, (*PATIENT_TAGS, *STUDY_TAGS)),
        (Level.SERIES, SERIES_TAGS),
        (Level.IMAGE, INSTANCE_TAGS),
    )
    for tag in tags
}
_COMPUTED = frozenset({INSTANCE_AVAILABILITY, 0x00080005, 0x00080201, 0x00083002})
"""Made for answers, or about a data set and no key."""
_NOT_SEARCHED = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "UN"})


def attribute_named(text: str) -> tuple[tuple[int, ...], str]:
    """Path of tags and private creator of what an operator writes: a keyword, ``(0018,0060)``, ``00180060``, below
    sequences ``RequestAttributesSequence.RequestedProcedureID``, or of a private one ``"GEMS_PARM_01",(0043,xx10)``.

    Raises:
        InvalidRequest: it is none of these, or no attribute that can be searched for.
    """
    text = text.strip()
    if private := _PRIVATE.match(text):
        group = int(private[2], 16)
        if group % 2 == 0:
            raise InvalidRequest(f"{text!r}: the group of a private attribute is odd")
        return (group << 16 | int(private[3], 16),), private[1].strip()
    path = tuple(_standard(part) for part in text.split("."))
    *sequences, (_, vr) = path
    if len(path) > _MAX_DEPTH or any(above != "SQ" for _, above in sequences):
        raise InvalidRequest(f"{text!r}: before each dot stands a sequence, of at most {_MAX_DEPTH - 1}")
    if vr in _NOT_SEARCHED:
        raise InvalidRequest(f"{text!r} is a sequence or binary data; of a sequence, name a member, as in A.B")
    return tuple(tag for tag, _ in path), ""


def _standard(text: str) -> tuple[int, str]:
    """Tag and VR of a public attribute."""
    standard = _STANDARD.match(text)
    tag = int(standard[1] + standard[2], 16) if standard else tag_for_keyword(text) if text else None
    if tag is None:
        raise InvalidRequest(
            f'{text!r} is no attribute: write a keyword, a tag such as 00180060, or "CREATOR",(0043,xx10)'
        )
    if tag >> 16 & 1:
        raise InvalidRequest(f'{text!r} is private: name its creator, as in "GEMS_PARM_01",(0043,xx10)')
    try:
        vr = dictionary_VR(tag)[:2]
    except KeyError as error:
        raise InvalidRequest(f"{text!r} is no attribute of the data dictionary (PS3.6)") from error
    return tag, vr


class Attributes:
    """The searchable attributes of an archive. Threads may share it."""

    def __init__(self, index: Index, store: SegmentStore) -> None:
        self._searchable = index.searchable
        self._store = store

    def add(self, text: str, level: Level = Level.SERIES) -> bool:
        """Make an attribute searchable; False when it is already.

        One that the index keeps for answers is found without, too, but row by row; its level is the one it is kept at.

        Raises:
            InvalidRequest: see `attribute_named`; also one that has an index anyway, and the level of patients.
        """
        path, creator = attribute_named(text)
        if not creator and (path[0] in _COMPUTED or level_of(path[0]) is not None):
            raise InvalidRequest(f"{keyword_for_tag(path[0])} is searchable anyway")
        if level not in LEVELS:
            raise InvalidRequest("the level is study, series or instance")
        # One that answers hold is theirs: of another level, a row could have it without a value of its own.
        level = level if creator else _KEPT.get(path[0], level)
        if any(one.is_removed and (one.path, one.private_creator) == (path, creator) for one in self._searchable.all()):
            raise InvalidRequest(
                f"{text} is still being removed; add it again when `pacs attributes list` shows it no more"
            )
        return self._searchable.add(path, creator, level)

    def remove(self, text: str) -> bool:
        """Searches ignore it from now on; False when it was not searchable. Raises: InvalidRequest."""
        return self._searchable.remove(*attribute_named(text))

    def progress(self) -> list[Progress]:
        """Each, with how far its values are kept."""
        return self._searchable.progress()

    def work_once(self) -> bool:
        """Keep the values of some instances, read some again, or drop some; whether there may be more to do.

        Raises:
            StorageError: index or storage failed; what was done stays done.
        """
        if self._searchable.drop_next():
            return True
        again = self._searchable.next_stale()
        if again is not None:
            attribute, stale, instances = again
            self._searchable.renew(attribute, stale, [(one, self._values(attribute, one)) for one in instances])
            return True
        found = self._searchable.next_unlooked(_AT_ONCE)
        if found is None:
            return False
        attribute, instances = found
        if instances:
            values = [(one, self._values(attribute, one)) for one in instances]
            self._searchable.keep(attribute, instances, values)
        return bool(instances)

    def _values(self, attribute: SearchableAttribute, instance: Unlooked) -> DicomJson:
        try:
            data_set = self._store.view(instance.location)[instance.location.data_set_offset :]
            header = scan(data_set, instance.transfer_syntax_uid)
            return to_json(header, tags=_tags_of(attribute, header))
        except (NotFound, PeerFault, StoredBytesDamaged) as problem:
            log.event("no values of an instance", error=problem, attribute=attribute.name, row=instance.row)
            return {}


def _tags_of(attribute: SearchableAttribute, header: Header) -> list[int]:
    """Where the attribute stands in this data set (PS3.5 §7.8.1)."""
    if not attribute.private_creator:
        return [attribute.path[0]] if attribute.path[0] in header.elements else []
    group = attribute.tag & 0xFFFF0000
    blocks = [block for block in range(0x10, 0x100) if group | block in header.elements]
    own = [block for block in blocks if header.text(group | block) == attribute.private_creator]
    tags = [group | block << 8 | attribute.tag & 0xFF for block in own]
    return [tag for tag in tags if tag in header.elements]
