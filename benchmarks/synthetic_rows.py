"""One patient, study, series or instance of a made-up hospital, as the rows that the index keeps of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from itertools import accumulate
from random import Random
from typing import Any, NamedTuple

from benchmarks.synthetic_names import PersonName, korean_name, person_name
from pacs.index import row_values
from pacs.index.packed import packed, packed_above
from pacs.model import DicomJson

_IMAGE = "1.2.840.10008.5.1.4.1.1"
_SYNTAXES = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.90")
_FRAME_TABLE = bytes.fromhex("01a8030000000000000000400000000000010000 00".replace(" ", ""))
"""As of one native frame of 512 KB behind a header of 936 bytes."""


class _Kind(NamedTuple):
    """A kind of examination."""

    share: float
    modalities: tuple[str, ...]
    """Of its series, in turn."""
    sop_classes: tuple[str, ...]
    maker: str
    uid_root: str
    instance_bytes: int
    descriptions: tuple[str, ...]


_KINDS = (
    _Kind(
        0.45, ("DX",), (f"{_IMAGE}.1.1",), "DRGEM", "1.2.410.200001.1.1185", 8_000_000,
        ("Chest PA", "Chest AP (portable)", "Knee Both AP/LAT", "L-Spine AP/LAT", "Abdomen Erect/Supine", "흉부 정면",
         "Hand Rt. PA/Oblique", "Skull AP/LAT", "Pelvis AP", "C-Spine Series", "Ankle Lt. AP/LAT", "KUB"),
    ),
    _Kind(
        0.20, ("CT",), (f"{_IMAGE}.2",), "SIEMENS", "1.3.12.2.1107.5.1.4", 525_000,
        ("CT Chest with contrast", "CT Abdomen and pelvis", "Brain CT (non-contrast)", "CT Chest low dose", "복부 CT",
         "CT Angiography, coronary", "Neck CT", "PNS CT", "L-Spine CT", "Thorax^ThoraxRoutine (Adult)"),
    ),
    _Kind(
        0.13, ("US",), (f"{_IMAGE}.6.1",), "SAMSUNG MEDISON", "1.2.410.200001.1.9999", 920_000,
        ("Abdomen US", "Thyroid US", "Breast US", "Echo TTE", "Carotid Doppler", "갑상선 초음파", "OB 2nd trimester"),
    ),
    _Kind(
        0.10, ("MR",), (f"{_IMAGE}.4",), "Philips Medical Systems", "1.3.46.670589.11", 133_000,
        ("Brain MRI with enhance", "L-Spine MRI", "Knee MRI Rt.", "Shoulder MRI Lt.", "Liver MRI (Primovist)", "뇌 MRI",
         "C-Spine MRI", "Prostate MRI", "MRA Brain"),
    ),
    _Kind(
        0.05, ("MG",), (f"{_IMAGE}.1.2",), "HOLOGIC, Inc.", "1.2.840.113681", 27_000_000,
        ("Mammography screening", "Mammo CC/MLO both", "유방촬영"),
    ),
    _Kind(
        0.03, ("XA",), (f"{_IMAGE}.12.1",), "GE MEDICAL SYSTEMS", "1.2.840.113619.2.227", 30_000_000,
        ("Coronary angiography", "PCI", "TACE", "Cerebral angiography"),
    ),
    _Kind(
        0.02, ("CT", "PT", "PT"), (f"{_IMAGE}.2", f"{_IMAGE}.128", f"{_IMAGE}.128"), "GE MEDICAL SYSTEMS",
        "1.2.840.113619.2.290", 140_000, ("PET/CT whole body FDG", "PET/CT Brain"),
    ),
    _Kind(
        0.02, ("NM",), (f"{_IMAGE}.20",), "GE MEDICAL SYSTEMS", "1.2.840.113619.2.281", 1_000_000,
        ("Bone scan whole body", "Thyroid scan", "Myocardial SPECT"),
    ),
)  # fmt: skip
_KIND_SHARES = list(accumulate(kind.share for kind in _KINDS))
_INSTITUTIONS = ("서울중앙병원", "Hanul General Hospital", "Busan Harbour Clinic", "St. Mary's Imaging Center")
_DOCTORS = [korean_name(Random(f"doctor-{number}")) for number in range(300)]


@dataclass(frozen=True, slots=True)
class Patient:
    """Who; `number` counts from 0 over the whole index."""

    number: int
    patient_id: str
    name: PersonName
    birth: date
    sex: str

    @property
    def attributes(self) -> DicomJson:
        return {
            "00100010": {"vr": "PN", "Value": [self.name.dicom_json]},
            "00100020": {"vr": "LO", "Value": [self.patient_id]},
            "00100030": {"vr": "DA", "Value": [f"{self.birth:%Y%m%d}"]},
            "00100040": {"vr": "CS", "Value": [self.sex]},
        }


def make_patient(seed: int, number: int) -> Patient:
    """The same for the same numbers. IDs are eight digits in no order, as hospitals give them."""
    random = Random(seed * 1_000_003 + number)
    age_days = int(random.triangular(0, 95, 62) * 365.25)
    birth = date(2018, 6, 30) - timedelta(days=age_days)
    patient_id = f"{(number * 7_368_787 + seed) % 100_000_000:08}"
    return Patient(number, patient_id, person_name(random), birth, "F" if random.random() < 0.53 else "M")


def patient_row(hospital: str, patient: Patient) -> dict[str, Any]:
    """A patient without studies yet."""
    return {
        "id": patient.number + 1,
        "hospital": hospital,
        **row_values.patient_columns(patient.attributes),
        "lone_study_uid": "",
        "studies": 0,
        "series": 0,
        "instances": 0,
        "attributes": packed_above(patient.attributes),
    }


@dataclass(frozen=True, slots=True)
class Series:
    uid: str
    number: int
    kind: _Kind
    modality: str
    sop_class: str
    description: str
    moment: datetime
    syntax: str


@dataclass(frozen=True, slots=True)
class Study:
    uid: str
    number: int
    kind: _Kind
    patient: Patient
    moment: datetime
    accession_number: str
    description: str
    series: tuple[Series, ...]

    @classmethod
    def make(cls, random: Random, number: int, day: datetime, patient: Patient, series: int) -> Study:
        """A study of that day; most are made between eight and six o'clock."""
        kind = random.choices(_KINDS, cum_weights=_KIND_SHARES)[0]
        office = random.random() < 0.85
        moment = day + timedelta(
            seconds=random.triangular(28_000, 65_000, 36_000) if office else random.random() * 86_399
        )
        description = kind.descriptions[int(len(kind.descriptions) * random.random() ** 2)]
        accession = f"{moment:%Y%m%d}{kind.modalities[0]}{number % 10_000:04}"
        below = tuple(_series(random, kind, within, moment, description) for within in range(series))
        return cls(_uid(random, kind, moment), number, kind, patient, moment, accession, description, below)


def _series(random: Random, kind: _Kind, within: int, moment: datetime, description: str) -> Series:
    turn = within % len(kind.modalities)
    syntax = _SYNTAXES[int(4 * random.random() ** 3)]
    modality, sop_class = kind.modalities[turn], kind.sop_classes[turn]
    words = f"{description} {within + 1}"
    uid = _uid(random, kind, moment)
    return Series(uid, within + 1, kind, modality, sop_class, words, moment, syntax)


def _uid(random: Random, kind: _Kind, moment: datetime) -> str:
    """Most makers' UIDs hold the machine and the time, some are random (PS3.5 B.2)."""
    if random.random() < 0.1:
        return f"2.25.{random.getrandbits(128)}"
    machine = random.getrandbits(4) + 61_000
    return f"{kind.uid_root}.{machine}.3000{moment:%Y%m%d%H%M%S}.{random.getrandbits(44)}"


def study_attributes(study: Study) -> DicomJson:
    """What the index keeps of it, without its UID."""
    age = max(0, (study.moment.date() - study.patient.birth).days // 365)
    random = Random(study.number)
    return {
        "00080020": {"vr": "DA", "Value": [f"{study.moment:%Y%m%d}"]},
        "00080030": {"vr": "TM", "Value": [f"{study.moment:%H%M%S.%f}"]},
        "00080050": {"vr": "SH", "Value": [study.accession_number]},
        "00080080": {"vr": "LO", "Value": [random.choice(_INSTITUTIONS)]},
        "00080090": {"vr": "PN", "Value": [random.choice(_DOCTORS).dicom_json]},
        "00081030": {"vr": "LO", "Value": [study.description]},
        "00101010": {"vr": "AS", "Value": [f"{age:03}Y"]},
        "00200010": {"vr": "SH", "Value": [str(study.number % 100_000)]},
    }


def study_row(hospital: str, study: Study, series: int, instances: int) -> dict[str, Any]:
    """All columns but the row's own number."""
    patient = study.patient.attributes
    attributes = study_attributes(study) | {"0020000D": {"vr": "UI", "Value": [study.uid]}}
    modalities = dict.fromkeys(one.modality for one in study.series)
    sop_classes = dict.fromkeys(one.sop_class for one in study.series)
    return {
        "hospital": hospital,
        "study_instance_uid": study.uid,
        "patient_row": study.patient.number + 1,
        **row_values.patient_columns(patient),
        **row_values.study_columns(attributes),
        "modalities_in_study": "".join(f"\\{one}" for one in modalities) + "\\",
        "sop_classes_in_study": "".join(f"\\{one}" for one in sop_classes) + "\\",
        "series": series,
        "instances": instances,
        "patient_attributes": packed_above(patient),
        "attributes": packed_above(attributes),
    }


def series_row(hospital: str, series: Series, *, instances: int, stored_bytes: int) -> dict[str, Any]:
    """All columns but the row's own number and the study's; it is settled, so that nobody looks for its images."""
    attributes: DicomJson = {
        "00080021": {"vr": "DA", "Value": [f"{series.moment:%Y%m%d}"]},
        "00080031": {"vr": "TM", "Value": [f"{series.moment:%H%M%S}"]},
        "00080060": {"vr": "CS", "Value": [series.modality]},
        "00080070": {"vr": "LO", "Value": [series.kind.maker]},
        "0008103E": {"vr": "LO", "Value": [series.description]},
        "0020000E": {"vr": "UI", "Value": [series.uid]},
        "00200011": {"vr": "IS", "Value": [series.number]},
        "00200052": {"vr": "UI", "Value": [f"{series.uid}.1"]},
    }
    return {
        "hospital": hospital,
        "series_instance_uid": series.uid,
        **row_values.series_columns(attributes),
        "instances": instances,
        "stored_bytes": stored_bytes,
        "last_stored_at_us": int((series.moment - datetime(1970, 1, 1)).total_seconds()) * 1_000_000,  # noqa: DTZ001
        "is_settled": True,
        "attributes": packed_above(attributes),
    }


def instance_rows(random: Random, hospital: str, series: Series, count: int, start: int) -> list[dict[str, Any]]:
    """All columns but the numbers of the row, the series' and the segment's; records begin at `start`."""
    if not count:
        return []
    frame = _instance_attributes(series.sop_class, series.modality)
    stored_at_us = int((series.moment - datetime(1970, 1, 1)).total_seconds()) * 1_000_000  # noqa: DTZ001
    stem = _uid(random, series.kind, series.moment)[:58]
    rows = []
    for number in range(1, count + 1):
        uid = f"{stem}.{number}"
        length = series.kind.instance_bytes + random.getrandbits(10)
        rows.append(
            {
                "hospital": hospital,
                "sop_instance_uid": uid,
                "sop_class_uid": series.sop_class,
                "transfer_syntax_uid": series.syntax,
                "instance_number": number,
                "digest": random.randbytes(32),
                "offset": start,
                "length": length,
                "data_set_offset": 378,
                "header_length": 924,
                "number_of_frames": 1,
                "stored_at_us": stored_at_us,
                "frame_table": _FRAME_TABLE,
                "attributes": packed(_of_instance(frame, uid, number), series.sop_class, uid),
            }
        )
        start += length + 2048
    return rows


@cache
def _instance_attributes(sop_class: str, modality: str) -> DicomJson:
    """What the images of a series have in common."""
    rows = 512 if modality in ("CT", "MR", "PT") else 2048
    attributes: DicomJson = {
        "00080008": {"vr": "CS", "Value": ["ORIGINAL", "PRIMARY", "AXIAL"]},
        "00080016": {"vr": "UI", "Value": [sop_class]},
        "00080022": {"vr": "DA", "Value": ["20200301"]},
        "00080032": {"vr": "TM", "Value": ["101500"]},
        "00180050": {"vr": "DS", "Value": [1]},
        "00200037": {"vr": "DS", "Value": [1, 0, 0, 0, 1, 0]},
        "00280002": {"vr": "US", "Value": [1]},
        "00280004": {"vr": "CS", "Value": ["MONOCHROME2"]},
        "00280010": {"vr": "US", "Value": [rows]},
        "00280011": {"vr": "US", "Value": [rows]},
        "00280030": {"vr": "DS", "Value": [0.9765625, 0.9765625]},
        "00280100": {"vr": "US", "Value": [16]},
        "00280101": {"vr": "US", "Value": [16]},
        "00280102": {"vr": "US", "Value": [15]},
        "00280103": {"vr": "US", "Value": [1]},
        "00281050": {"vr": "DS", "Value": [40]},
        "00281051": {"vr": "DS", "Value": [400]},
        "00281052": {"vr": "DS", "Value": [0]},
        "00281053": {"vr": "DS", "Value": [1]},
    }
    return attributes


def _of_instance(common: DicomJson, uid: str, number: int) -> DicomJson:
    return {
        **common,
        "00080018": {"vr": "UI", "Value": [uid]},
        "00200013": {"vr": "IS", "Value": [number]},
        "00200032": {"vr": "DS", "Value": [-250, -250, number * 2.5]},
    }
