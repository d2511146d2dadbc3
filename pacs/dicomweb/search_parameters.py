"""A QIDO-RS query string as one `Query` (PS3.18 §8.3.4, §10.6). Pure.

A parameter that is no attribute is refused rather than ignored: a misspelt key would otherwise answer with
everybody's studies.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import unquote_to_bytes

from pydicom.datadict import dictionary_VR, tag_for_keyword

from pacs.dicomweb.resources import ResourceKey
from pacs.errors import InvalidRequest
from pacs.model import DicomJson, Level, Match, Query

_MAX_PARAMETERS = 500
_MAX_NUMBER = 1_000_000_000
_MAX_DEPTH = 8

_TIMEZONE_OFFSET_FROM_UTC = 0x00080201

_LISTED = ("UI", "CS")
"""VRs of which a list can be asked for; in texts a comma is a character."""

_TAG = re.compile(r"[0-9A-Fa-f]{8}\Z")
_KEYWORD = re.compile(r"[A-Za-z][0-9A-Za-z]{0,63}\Z")
_NUMBER = re.compile(r"[0-9]{1,20}\Z")
_UNESCAPED_PLUS = re.compile(r"(\d{10,14}(?:\.\d{1,6})?) (\d{4})(?=\s*(?:\Z|[-\\]))", re.ASCII)
"""The sign of an offset from UTC that nobody escaped comes as a space; behind a date alone it may be meant as one."""
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

_REQUIRED = {
    Level.STUDY: _tags(
        "StudyDate StudyTime AccessionNumber ModalitiesInStudy ReferringPhysicianName PatientName PatientID"
        " PatientBirthDate PatientSex StudyInstanceUID StudyID NumberOfStudyRelatedSeries NumberOfStudyRelatedInstances"
    ),
    Level.SERIES: _tags("Modality SeriesInstanceUID SeriesNumber NumberOfSeriesRelatedInstances"),
    Level.IMAGE: _tags("SOPClassUID SOPInstanceUID InstanceNumber"),
}
"""Of those, the ones of type U and R, which an answer has even when nothing is known of them (PS3.4 C.2.2.1.2)."""


def study_query(query_string: bytes, level: Level, parents: ResourceKey | None = None) -> Query:
    """The query of a search URL; `parents` are the study and series above, when the URL names them.

    One result more than asked for is never in the query: the caller asks for it when it wants to know whether there
    are more.

    Raises:
        InvalidRequest: names the parameter that cannot be understood.
    """
    reader = _Reader()
    for name, value in query_fields(query_string):
        reader.take(name, value)
    own = [*_joined(reader.matches), *(Match((uid_tag,), (uid,)) for uid_tag, uid in _parent_uids(parents))]
    members = frozenset(path for path in reader.included if len(path) > 1)
    cut = {path[0] for path in members}
    members |= {match.path for match in reader.matches if len(match.path) > 1 and match.path[0] in cut}
    whole = frozenset(path[0] for path in reader.included if len(path) == 1) | _default_tags(level, parents)
    include_members = frozenset() if reader.is_everything else _not_in(members, whole)
    return replace(reader.query(level, own, whole | {path[0] for path in members}), include_members=include_members)


def empty_attributes(level: Level, parents: ResourceKey | None, asked: Iterable[int]) -> DicomJson:
    """What an answer has if the entity has no value of it, without one: what is required, and what was asked for."""
    found: DicomJson = {}
    for tag in (*_of_levels(_REQUIRED, level, parents), *asked):
        vr = _vr(tag)
        if vr != "UN":
            found[f"{tag:08X}"] = {"vr": vr[:2]}
    return found


def asked_fields(query_string: bytes) -> tuple[frozenset[int], tuple[str, ...]]:
    """What ``includefield`` names: tags of attributes, and keywords that nobody knows.

    The latter change no answer, only make it poorer; newer clients name attributes of newer editions.

    Raises:
        InvalidRequest: as `study_query`.
    """
    reader = _Reader()
    for name, value in query_fields(query_string):
        if name == "includefield":
            reader.take(name, value)
    return frozenset(path[0] for path in reader.included), tuple(dict.fromkeys(reader.unknown_fields))


class _Reader:
    """The parameters of one query string."""

    def __init__(self) -> None:
        self.matches: list[Match] = []
        self.included: set[tuple[int, ...]] = set()
        self.unknown_fields: list[str] = []
        self.is_everything = False
        self.numbers: dict[str, int] = {}
        self.truths: dict[str, bool] = {}
        self.timezone_offset = ""

    def take(self, name: str, value: str) -> None:
        """Raises InvalidRequest, with the parameter's name."""
        match name:
            case "limit":
                # Who wants all says the largest number that the language has.
                _once(self.numbers, name, min(_number(name, value, 1 << 64), _MAX_NUMBER))
            case "offset":
                _once(self.numbers, name, _number(name, value, _MAX_NUMBER))
            case "fuzzymatching" | "emptyvaluematching" | "multiplevaluematching":
                _once(self.truths, name, _truth(name, value))
            case "includefield":
                self._include(value)
            case "accept" | "charset":
                pass
            case _ if name.startswith("_"):
                pass  # no attribute: what a page adds so that no cache answers (PS3.18 §8.3)
            case _:
                key = _match(name, value)
                if key.path == (_TIMEZONE_OFFSET_FROM_UTC,):
                    self._take_zone(name, value)
                self.matches.append(key)

    def query(self, level: Level, matches: Iterable[Match], include: frozenset[int]) -> Query:
        """What was taken, as a query for these matches and attributes."""
        return Query(
            level=level,
            matches=tuple(matches),
            include=None if self.is_everything else include,
            limit=self.numbers.get("limit"),
            offset=self.numbers.get("offset", 0),
            is_fuzzy=self.truths.get("fuzzymatching", False),
            # PS3.18 §8.3.4.1.1 has what C-FIND negotiates.
            combines_date_and_time=True,
            finds_empty=self.truths.get("emptyvaluematching", False),
            needs_all_values=self.truths.get("multiplevaluematching", False),
            timezone_offset=self.timezone_offset,
        )

    def _include(self, value: str) -> None:
        for item in value.split(","):
            if item.strip().lower() == "all":
                self.is_everything = True
            elif item.strip():
                path = _known_path(item.strip())
                if path is None:
                    self.unknown_fields.append(item.strip())
                else:
                    self.included.add(path)

    def _take_zone(self, name: str, value: str) -> None:
        """Of the request's dates and times (PS3.18 §8.3.4.1.1); a plus sign that nobody escaped came as a space."""
        zone = value.strip()
        if zone.isdigit() and value.startswith(" "):
            zone = f"+{zone}"
        if zone and self.timezone_offset not in ("", zone):
            raise InvalidRequest(f"{name} is given twice with different values")
        self.timezone_offset = zone


def _once(values: dict[str, Any], name: str, value: Any) -> None:
    if values.setdefault(name, value) != value:
        raise InvalidRequest(f"{name} is given twice with different values")


def _not_in(paths: frozenset[tuple[int, ...]], whole: frozenset[int]) -> frozenset[tuple[int, ...]]:
    """The paths into sequences that are not asked for as a whole."""
    return frozenset(
        path
        for path in paths
        if path[0] not in whole and not any(path[:length] in paths for length in range(2, len(path)))
    )


def attribute_path(name: str, said_by: str = "") -> tuple[int, ...]:
    """Tags of an attribute ID (PS3.18 §8.3.4.1): keyword or 8 hexadecimal digits, joined by dots below sequences.

    Raises:
        InvalidRequest: a part of it is neither.
    """
    parts = name.split(".")
    if len(parts) > _MAX_DEPTH:
        raise InvalidRequest(f"{said_by}the attribute {name[:80]!r} is nested deeper than {_MAX_DEPTH} sequences")
    path: list[int] = []
    for part in parts:
        # pydicom gives a tag for "" too: retired attributes without a keyword.
        tag = int(part, 16) if _TAG.match(part) else tag_for_keyword(part) if part else None
        if tag is None:
            raise InvalidRequest(
                f"{said_by}{name[:80]!r} is neither a search parameter nor an attribute; use a keyword such as"
                " PatientID or a tag such as 00100020"
            )
        path.append(int(tag))
    return tuple(path)


def _known_path(name: str) -> tuple[int, ...] | None:
    """As `attribute_path`; None when every part has the form of a keyword or tag, but a keyword is not known."""
    parts = name.split(".")
    if len(parts) <= _MAX_DEPTH and all(_TAG.match(part) or _KEYWORD.match(part) for part in parts):
        known = (_TAG.match(part) or tag_for_keyword(part) is not None for part in parts)
        return attribute_path(name) if all(known) else None
    return attribute_path(name, "includefield: ")


def query_fields(query_string: bytes) -> Iterator[tuple[str, str]]:
    """Names and values; both are UTF-8, percent-encoded where they are no ASCII, or as they are.

    Raises:
        InvalidRequest: too many, or no UTF-8.
    """
    fields = [field for field in query_string.split(b"&") if field]
    if len(fields) > _MAX_PARAMETERS:
        raise InvalidRequest(f"The query string has more than {_MAX_PARAMETERS} parameters")
    for field in fields:
        name, _, value = (unquote_to_bytes(part) for part in field.replace(b"+", b" ").partition(b"="))
        try:
            yield name.decode(), value.decode()
        except UnicodeDecodeError:
            shown = name.decode("ascii", "replace")
            raise InvalidRequest(f"{shown[:80]!r} is not percent-encoded UTF-8") from None


def _number(name: str, value: str, most: int) -> int:
    if not _NUMBER.match(value) or int(value) > most:
        raise InvalidRequest(f"{name}={value[:20]!r} is no number from 0 to {most}")
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
    values = _values(path[-1], value)
    if not values:
        raise InvalidRequest(f"{name}={value[:20]!r} holds no value: leave it out, or give one, to say what is wanted")
    return Match(path, values)


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
    elif vr == "DT":
        value = _UNESCAPED_PLUS.sub(r"\1+\2", value)
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
    return _of_levels(DEFAULT_TAGS, level, parents)


def _of_levels(tables: dict[Level, frozenset[int]], level: Level, parents: ResourceKey | None) -> frozenset[int]:
    """Attributes of the level, and of the levels above that the URL does not name (PS3.18 §10.6.1.1)."""
    tags = tables[level]
    if level is Level.IMAGE and (parents is None or parents.series_instance_uid is None):
        tags |= tables[Level.SERIES]
    if level is not Level.STUDY and parents is None:
        tags |= tables[Level.STUDY]
    return tags


def plain_query(query_string: bytes) -> Query:
    """The query of a search URL of a resource without levels (PS3.18 §11.9). `include` has what is asked for by name.

    Raises:
        InvalidRequest: names the parameter that cannot be understood.
    """
    return _plain(query_fields(query_string))


def filter_query(text: str) -> Query:
    """The ``filter`` of a subscription (PS3.18 §11.10.1.2): ``attribute=value`` separated by commas. A piece without
    an equals sign goes on with the value before it: lists of UIDs and codes are separated by commas, too.

    Raises:
        InvalidRequest: empty, or a key cannot be understood.
    """
    keys: list[list[str]] = []
    for piece in text.split(","):
        name, sign, value = piece.partition("=")
        if sign:
            keys.append([name.strip(), value])
        elif keys:
            keys[-1][1] += f",{piece}"
        else:
            raise InvalidRequest(f"the filter {text[:80]!r} is no list of attribute=value")
    if len(keys) > _MAX_PARAMETERS:
        raise InvalidRequest(f"The filter has more than {_MAX_PARAMETERS} keys")
    query = _plain((name, value) for name, value in keys)
    if not any(match.values for match in query.matches):
        raise InvalidRequest("the filter has no key with a value; subscribe to the whole worklist instead")
    return query


def _plain(parameters: Iterable[tuple[str, str]]) -> Query:
    reader = _Reader()
    for name, value in parameters:
        reader.take(name, value)
    return reader.query(Level.IMAGE, _joined(reader.matches), frozenset(path[0] for path in reader.included))
