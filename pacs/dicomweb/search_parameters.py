"""A QIDO-RS query string as one `Query` (PS3.18 §8.3.4, §10.6). Pure.

A parameter that is no attribute is refused rather than ignored: a misspelt key would otherwise answer with
everybody's studies.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import parse_qsl

from pydicom.datadict import dictionary_VR, tag_for_keyword

from pacs.dicomweb.resources import ResourceKey
from pacs.errors import InvalidRequest
from pacs.model import Level, Match, Query

MAX_RESULTS = 50_000
"""Most results of one answer; a Warning header says when there are more (PS3.18 §10.6.3.1)."""
_MAX_PARAMETERS = 500
_MAX_NUMBER = 1_000_000_000
_MAX_DEPTH = 8

_LISTED = ("UI", "CS")
"""VRs of which a list can be asked for; in texts a comma is a character."""

_TAG = re.compile(r"[0-9A-Fa-f]{8}\Z")
_NUMBER = re.compile(r"[0-9]{1,10}\Z")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

_STUDY = (
    "StudyDate StudyTime AccessionNumber InstanceAvailability ModalitiesInStudy ReferringPhysicianName"
    " TimezoneOffsetFromUTC RetrieveURL PatientName PatientID IssuerOfPatientID PatientBirthDate PatientSex"
    " StudyInstanceUID StudyID StudyDescription NumberOfStudyRelatedSeries NumberOfStudyRelatedInstances"
)
_SERIES = (
    "Modality TimezoneOffsetFromUTC SeriesDescription RetrieveURL StudyInstanceUID SeriesInstanceUID SeriesNumber"
    " SeriesDate SeriesTime BodyPartExamined Laterality NumberOfSeriesRelatedInstances"
    " PerformedProcedureStepStartDate PerformedProcedureStepStartTime RequestAttributesSequence"
)
_INSTANCE = (
    "SOPClassUID SOPInstanceUID InstanceAvailability TimezoneOffsetFromUTC RetrieveURL StudyInstanceUID"
    " SeriesInstanceUID InstanceNumber Rows Columns BitsAllocated NumberOfFrames AvailableTransferSyntaxUID"
)


def _tags(keywords: str) -> frozenset[int]:
    tags = [tag_for_keyword(keyword) for keyword in keywords.split()]
    return frozenset(tag for tag in tags if tag is not None)


DEFAULT_TAGS = {Level.STUDY: _tags(_STUDY), Level.SERIES: _tags(_SERIES), Level.IMAGE: _tags(_INSTANCE)}
"""What each level returns when ``includefield`` is absent: PS3.18 tables 10.6.3-3 to -5, and what lists show."""


def study_query(query_string: bytes, level: Level, parents: ResourceKey | None = None) -> Query:
    """The query of a search URL; `parents` are the study and series above, when the URL names them.

    One result more than asked for, or than `MAX_RESULTS`, is never in the query: the caller asks for it when it
    wants to know whether there are more.

    Raises:
        InvalidRequest: names the parameter that cannot be understood.
    """
    matches: list[Match] = []
    included: set[int] = set()
    is_everything = is_fuzzy = False
    limit: int | None = None
    offset = 0
    for name, value in _parameters(query_string):
        match name:
            case "limit":
                limit = _number(name, value)
            case "offset":
                offset = _number(name, value)
            case "fuzzymatching":
                is_fuzzy = _truth(name, value)
            case "includefield":
                for item in value.split(","):
                    if item.strip().lower() == "all":
                        is_everything = True
                    elif item.strip():
                        included.update(attribute_path(item.strip()))
            case "accept" | "charset":
                pass
            case _:
                matches.append(_match(name, value))
    own = [*_joined(matches), *(Match((uid_tag,), (uid,)) for uid_tag, uid in _parent_uids(parents))]
    return Query(
        level=level,
        matches=tuple(own),
        include=None if is_everything else frozenset(included) | _default_tags(level, parents),
        limit=limit,
        offset=offset,
        is_fuzzy=is_fuzzy,
    )


def attribute_path(name: str) -> tuple[int, ...]:
    """Tags of an attribute ID (PS3.18 §8.3.4.1): keyword or 8 hexadecimal digits, joined by dots below sequences.

    Raises:
        InvalidRequest: a part of it is neither.
    """
    parts = name.split(".")
    if len(parts) > _MAX_DEPTH:
        raise InvalidRequest(f"The attribute {name[:80]!r} is nested deeper than {_MAX_DEPTH} sequences")
    path: list[int] = []
    for part in parts:
        # pydicom gives a tag for "" too: retired attributes without a keyword.
        tag = int(part, 16) if _TAG.match(part) else tag_for_keyword(part) if part else None
        if tag is None:
            raise InvalidRequest(
                f"{name[:80]!r} is neither a search parameter nor an attribute; use a keyword such as PatientID"
                " or a tag such as 00100020"
            )
        path.append(int(tag))
    return tuple(path)


def _parameters(query_string: bytes) -> list[tuple[str, str]]:
    try:
        text = query_string.decode("ascii")
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS)
    except UnicodeDecodeError:
        raise InvalidRequest("The query string is not percent-encoded UTF-8") from None
    except ValueError:
        raise InvalidRequest(f"The query string has more than {_MAX_PARAMETERS} parameters") from None


def _number(name: str, value: str) -> int:
    if not _NUMBER.match(value) or int(value) > _MAX_NUMBER:
        raise InvalidRequest(f"{name}={value[:20]!r} is no number from 0 to {_MAX_NUMBER}")
    return int(value)


def _truth(name: str, value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise InvalidRequest(f"{name}={value[:20]!r} is neither true nor false")
    return value.lower() == "true"


def _match(name: str, value: str) -> Match:
    path = attribute_path(name)
    if _CONTROL.search(value):
        raise InvalidRequest(f"{name} holds a control character")
    if not value.strip():
        return Match(path)
    return Match(path, _values(path[-1], value))


def _joined(matches: Iterable[Match]) -> list[Match]:
    """A list of UIDs or codes that was sent as one parameter for each, as web forms do, is one list."""
    lists: dict[tuple[int, ...], Match] = {}
    others: list[Match] = []
    for match in matches:
        if not match.values or _vr(match.tag) not in _LISTED:
            others.append(match)
            continue
        earlier = lists.get(match.path, Match(match.path))
        lists[match.path] = Match(match.path, (*earlier.values, *match.values))
    return [*others, *lists.values()]


def _vr(tag: int) -> str:
    try:
        return str(dictionary_VR(tag))
    except KeyError:
        return "UN"


def _values(tag: int, value: str) -> tuple[str, ...]:
    """One value, or several: lists of UIDs and codes are separated by commas or backslashes, texts never."""
    vr = _vr(tag)
    if vr in _LISTED:
        value = value.replace(",", "\\")
    elif vr in ("ST", "LT", "UT", "UN", "UR"):
        return (value,)
    return tuple(item for item in (item.strip() for item in value.split("\\")) if item)


def _parent_uids(parents: ResourceKey | None) -> list[tuple[int, str]]:
    if parents is None:
        return []
    uids = [(0x0020000D, parents.study_instance_uid)]
    if parents.series_instance_uid is not None:
        uids.append((0x0020000E, parents.series_instance_uid))
    return uids


def _default_tags(level: Level, parents: ResourceKey | None) -> frozenset[int]:
    """Attributes of the level, and of the levels above that the URL does not name (PS3.18 §10.6.1.1)."""
    tags = DEFAULT_TAGS[level]
    if level is Level.IMAGE and (parents is None or parents.series_instance_uid is None):
        tags |= DEFAULT_TAGS[Level.SERIES]
    if level is not Level.STUDY and parents is None:
        tags |= DEFAULT_TAGS[Level.STUDY]
    return tags
