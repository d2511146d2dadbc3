"""What an instance's attributes become in a row, and what a row becomes for those who read. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pacs.index.normal_form import date_text, integer, name_group, plain, time_span, word
from pacs.index.packed import packed, unpacked
from pacs.index.tables import NO_NUMBER
from pacs.model import DicomJson, InstanceKey, Location, NewInstance, StoredInstance

NO_MODALITY = "OT"
"""Told for a series without Modality (PS3.3 C.7.3.1.1.1 "Other"): viewers show nothing for a study that names none."""


def first_value(attributes: DicomJson, tag: str) -> Any:
    """First value of an attribute, None when it is missing or empty."""
    values = attributes.get(tag, {}).get("Value")
    return values[0] if values else None


def _word(attributes: DicomJson, tag: str) -> str:
    value = first_value(attributes, tag)
    return "" if value is None or isinstance(value, dict) else word(value)


def _date(attributes: DicomJson, tag: str) -> str:
    return date_text(str(first_value(attributes, tag) or "")) or ""


def _number(attributes: DicomJson, tag: str) -> int:
    number = integer(first_value(attributes, tag))
    return NO_NUMBER if number is None else number


def patient_columns(patient: DicomJson) -> dict[str, str]:
    """Columns that `patients` and `studies` share."""
    name = first_value(patient, "00100010")
    groups = name if isinstance(name, dict) else {}
    return {
        "patient_id": _word(patient, "00100020"),
        "issuer_of_patient_id": _word(patient, "00100021"),
        "patient_name": name_group(groups.get("Alphabetic", "")),
        "patient_name_ideographic": name_group(groups.get("Ideographic", "")),
        "patient_name_phonetic": name_group(groups.get("Phonetic", "")),
        "patient_birth_date": _date(patient, "00100030"),
        "patient_sex": _word(patient, "00100040"),
    }


def study_columns(study: DicomJson) -> dict[str, str]:
    time = time_span(str(first_value(study, "00080030") or ""))
    return {
        "study_date": _date(study, "00080020"),
        "study_time": time.first if time else "",
        "accession_number": _word(study, "00080050"),
        "study_id": _word(study, "00200010"),
        "study_description": _word(study, "00081030"),
    }


def series_columns(series: DicomJson) -> dict[str, str | int]:
    return {
        "modality": _word(series, "00080060"),
        "series_number": _number(series, "00200011"),
        "series_description": _word(series, "0008103E"),
    }


def modality_in_study(series: DicomJson) -> str:
    """The series' part of ModalitiesInStudy."""
    return _word(series, "00080060").replace("\\", "") or NO_MODALITY


def instance_columns(new: NewInstance, stored_at_us: int) -> dict[str, Any]:
    """All columns of `instances` but those that point to other rows."""
    return {
        "hospital": new.key.hospital,
        "sop_instance_uid": new.key.sop_instance_uid,
        "sop_class_uid": plain(new.sop_class_uid),
        "transfer_syntax_uid": plain(new.transfer_syntax_uid),
        "instance_number": _number(new.instance, "00200013"),
        "digest": bytes.fromhex(new.digest),
        "offset": new.location.offset,
        "length": new.location.length,
        "data_set_offset": new.location.data_set_offset,
        "header_length": new.header_length,
        "number_of_frames": new.number_of_frames,
        "stored_at_us": new.received_at_us or stored_at_us,
        "frame_table": new.frame_table,
        "attributes": packed(new.instance, new.sop_class_uid, new.key.sop_instance_uid),
    }


def stored_instance(row: Any, *, is_brief: bool = False) -> StoredInstance:
    """From a row of `instances` joined with its study, series and segment; a brief one has neither attributes nor
    frame table."""
    return StoredInstance(
        key=InstanceKey(row.hospital, row.study_instance_uid, row.series_instance_uid, row.sop_instance_uid),
        sop_class_uid=row.sop_class_uid,
        transfer_syntax_uid=row.transfer_syntax_uid,
        digest=bytes(row.digest).hex(),
        location=Location(row.segment, row.offset, row.length, row.data_set_offset),
        header_length=row.header_length,
        number_of_frames=row.number_of_frames,
        frame_table=b"" if is_brief else bytes(row.frame_table),
        attributes={} if is_brief else unpacked(bytes(row.attributes), row.sop_class_uid, row.sop_instance_uid),
        stored_at=moment(row.stored_at_us),
    )


def moment(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC)
