"""Instances to store, made up."""

from __future__ import annotations

import hashlib
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword

from pacs.model import DicomJson, InstanceKey, Location, NewInstance

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"


def attributes(**values: Any) -> DicomJson:
    """DICOM JSON of keywords; a value alone, or a list of values."""
    found: DicomJson = {}
    for keyword, value in values.items():
        tag = tag_for_keyword(keyword)
        assert tag is not None, keyword
        several = value if isinstance(value, list) else [] if value is None else [value]
        found[f"{tag:08X}"] = {"vr": dictionary_VR(tag)[:2], **({"Value": several} if several else {})}
    return found


def name(alphabetic: str = "", ideographic: str = "", phonetic: str = "") -> dict[str, str]:
    groups = {"Alphabetic": alphabetic, "Ideographic": ideographic, "Phonetic": phonetic}
    return {group: text for group, text in groups.items() if text}


def new_instance(
    study: str = "1.1",
    series: str = "1.1.1",
    sop: str = "1.1.1.1",
    *,
    hospital: str = "default",
    sop_class: str = CT,
    content: str = "",
    segment: str = "segment",
    offset: int = 0,
    length: int = 1000,
    in_patient: DicomJson | None = None,
    in_study: DicomJson | None = None,
    in_series: DicomJson | None = None,
    in_instance: DicomJson | None = None,
) -> NewInstance:
    """One instance; `content` decides its digest."""
    return NewInstance(
        key=InstanceKey(hospital, study, series, sop),
        sop_class_uid=sop_class,
        transfer_syntax_uid=EXPLICIT_VR_LITTLE_ENDIAN,
        digest=hashlib.sha256(f"{sop}{content}".encode()).hexdigest(),
        location=Location(segment, offset, length, 300),
        header_length=600,
        number_of_frames=1,
        frame_table=b"\x00table\xff",
        patient=attributes(PatientID="P1", PatientName=name("Kim^Minsu")) if in_patient is None else in_patient,
        study=attributes(StudyDate="20240131") if in_study is None else in_study,
        series=attributes(Modality="CT") if in_series is None else in_series,
        instance=attributes(Rows=512) if in_instance is None else in_instance,
    )
