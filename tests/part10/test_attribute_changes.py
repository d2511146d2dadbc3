from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from pacs.part10.attribute_changes import Modification, changed, encoded_text
from pacs.part10.header import Header, scan

from .encoding import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    explicit,
    image,
    implicit,
    item,
    sequence,
)

PATIENT_NAME, INSTITUTION, ACCESSION, MODALITY = 0x00100010, 0x00080080, 0x00080050, 0x00080060
WHEN = Modification(datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), "PACS", "CT\\1 é")
SYNTAXES = [IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG]


def data_set(**changes: Any) -> Dataset:
    made = Dataset()
    values: dict[str, Any] = {
        "SpecificCharacterSet": "ISO_IR 100",
        "SOPInstanceUID": "1.2.3",
        "AccessionNumber": "",
        "Modality": "CT",
        "PatientName": "Jörg^Müller",
        "PatientID": "P1",
        "SeriesNumber": 7,
        "Rows": 2,
        "Columns": 2,
        "BitsAllocated": 16,
        "PixelRepresentation": 0,
        **changes,
    }
    for keyword, value in values.items():
        if value is not None:
            setattr(made, keyword, value)
    inner = Dataset()
    inner.CodeValue = "X"
    made.ProcedureCodeSequence = [inner]
    made.add_new(0x7FE00010, "OW", b"12345678")
    return made


def written(made: Dataset, syntax: str) -> bytes:
    file = DicomBytesIO()
    file.is_implicit_VR, file.is_little_endian = syntax == IMPLICIT_LITTLE, syntax != EXPLICIT_BIG
    write_dataset(file, made)
    return file.getvalue()


def header_of(content: bytes, syntax: str = EXPLICIT_LITTLE) -> Header:
    return scan(content, syntax)


def apply(content: bytes, texts: dict[int, str | None], syntax: str = EXPLICIT_LITTLE) -> bytes:
    header = header_of(content, syntax)
    values = {tag: None if text is None else encoded_text(header, tag, text) for tag, text in texts.items()}
    return b"".join(changed(header, values, WHEN))


def read(content: bytes, syntax: str) -> Dataset:
    return pydicom.filereader.read_dataset(
        io.BytesIO(content), syntax == IMPLICIT_LITTLE, syntax != EXPLICIT_BIG, bytelength=len(content)
    )


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_what_is_set_added_and_removed_is_read_and_all_else_stays(syntax: str) -> None:
    before = data_set()
    content = written(before, syntax)
    made = apply(
        content,
        {PATIENT_NAME: "Grün^Ägidius", INSTITUTION: "Klinik am See", ACCESSION: "A1", MODALITY: None, 0x00200011: "12"},
        syntax,
    )
    after = read(made, syntax)
    assert (str(after.PatientName), after.InstitutionName, after.AccessionNumber) == (
        "Grün^Ägidius",
        "Klinik am See",
        "A1",
    )
    assert after.SeriesNumber == 12
    assert "Modality" not in after
    assert [element.tag for element in after] == sorted(element.tag for element in after)
    (record,) = after.OriginalAttributesSequence
    assert record.ReasonForTheAttributeModification == "COERCE"
    assert (record.ModifyingSystem, record.SourceOfPreviousValues) == ("PACS", "CT?1 ?")
    assert record.AttributeModificationDateTime == "20260102030405.000006+0000"
    (previous,) = record.ModifiedAttributesSequence
    assert str(previous.PatientName) == "Jörg^Müller"
    assert (previous.Modality, previous.AccessionNumber, previous.SeriesNumber) == ("CT", "", 7)
    assert previous["InstitutionName"].is_empty
    assert len(previous) == 5
    for tag in (*(element.tag for element in previous), 0x04000561):
        for each in (before, after):
            if tag in each:
                del each[tag]
    assert written(after, syntax) == written(before, syntax)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_second_change_keeps_the_record_of_the_first(syntax: str) -> None:
    once = apply(written(data_set(), syntax), {PATIENT_NAME: "B"}, syntax)
    twice = read(apply(once, {PATIENT_NAME: "C"}, syntax), syntax)
    names = [str(record.ModifiedAttributesSequence[0].PatientName) for record in twice.OriginalAttributesSequence]
    assert names == ["Jörg^Müller", "B"]
    assert str(twice.PatientName) == "C"


def test_a_sequence_of_known_length_gets_its_item() -> None:
    old = sequence(0x04000561, item(explicit(0x04000563, "LO", b"OLD ")))
    content = image(explicit(PATIENT_NAME, "PN", b"A "), old)
    made = read(apply(content, {PATIENT_NAME: "B"}), EXPLICIT_LITTLE)
    assert [record.ModifyingSystem for record in made.OriginalAttributesSequence] == ["OLD", "PACS"]


@pytest.mark.parametrize("vr", ["UN", "LO"])
def test_an_original_attributes_sequence_of_another_kind_is_refused(vr: str) -> None:
    content = explicit(PATIENT_NAME, "PN", b"A ") + explicit(0x04000561, vr, b"junk")
    with pytest.raises(ValueError, match="no sequence"):
        apply(content, {PATIENT_NAME: "B"})


def test_pixel_data_is_never_copied() -> None:
    content = written(data_set(), EXPLICIT_LITTLE)
    header = header_of(content)
    *_, last = changed(header, {PATIENT_NAME: b"B "}, WHEN)
    assert isinstance(last, memoryview)
    assert last.obj is header.buffer.obj


def test_a_data_set_without_anything_behind_gets_it_at_the_end() -> None:
    content = explicit(0x00080018, "UI", b"1.2\0")
    made = read(apply(content, {PATIENT_NAME: "B"}), EXPLICIT_LITTLE)
    assert [element.keyword for element in made] == ["SOPInstanceUID", "PatientName", "OriginalAttributesSequence"]
    assert read(apply(content + bytes(16), {PATIENT_NAME: "B"}), EXPLICIT_LITTLE).PatientName == "B"


def test_a_tag_that_came_twice_is_there_once() -> None:
    content = explicit(PATIENT_NAME, "PN", b"A ") + explicit(PATIENT_NAME, "PN", b"B ")
    assert apply(content, {PATIENT_NAME: "C"}).count(b"\x10\x00\x10\x00PN") == 2  # and once in the record
    assert apply(content, {PATIENT_NAME: None}).count(b"\x10\x00\x10\x00PN") == 1


def test_group_lengths_of_changed_groups_are_left_out() -> None:
    content = b"".join(
        (
            explicit(0x00080000, "UL", b"\4\0\0\0"),
            explicit(0x00080018, "UI", b"1.2\0"),
            explicit(0x00100000, "UL", b"\4\0\0\0"),
            explicit(PATIENT_NAME, "PN", b"A "),
        )
    )
    made = header_of(apply(content, {PATIENT_NAME: "B"}))
    assert 0x00080000 in made.elements
    assert 0x00100000 not in made.elements


def test_an_element_that_is_encoded_otherwise_is_recorded_as_the_rest() -> None:
    content = explicit(0x00080018, "UI", b"1.2\0") + implicit(PATIENT_NAME, b"A ") + explicit(0x00100020, "LO", b"P1")
    made = read(apply(content, {PATIENT_NAME: "B"}), EXPLICIT_LITTLE)
    assert made.OriginalAttributesSequence[0].ModifiedAttributesSequence[0].PatientName == "A"
    assert (made.PatientName, made.PatientID) == ("B", "P1")


@pytest.mark.parametrize(
    ("character_set", "tag", "text", "expected"),
    [
        ("", PATIENT_NAME, "Kim", b"Kim "),
        ("ISO_IR 100", PATIENT_NAME, "Müller", "Müller".encode("latin-1")),
        ("ISO_IR 192", PATIENT_NAME, "김", "김".encode() + b" "),
        ("\\ISO 2022 IR 149", PATIENT_NAME, "김", b"\x1b$)C" + "김".encode("euc_kr")),
        ("ISO_IR 100", 0x00080060, "CT", b"CT"),
        ("", 0x00080008, "DERIVED\\SECONDARY", b"DERIVED\\SECONDARY "),
        ("", 0x00104000, "a\\b", b"a\\b "),
        ("", 0x00280006, "", b""),
        ("", 0x00180050, "1.5", b"1.5 "),
        ("", 0x00189087, "2", bytes(7) + b"\x40"),
    ],
)
def test_text_is_written_as_the_data_set_reads_it(character_set: str, tag: int, text: str, expected: bytes) -> None:
    named = character_set.encode().ljust(len(character_set) + len(character_set) % 2)
    header = header_of(explicit(0x00080005, "CS", named) + explicit(0x00080018, "UI", b"1.2\0"))
    assert encoded_text(header, tag, text) == expected


@pytest.mark.parametrize(
    ("tag", "text"), [(PATIENT_NAME, "Müller"), (PATIENT_NAME, "김"), (0x00180050, "thick"), (0x00280010, "70000")]
)
def test_what_cannot_be_written_is_an_error(tag: int, text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        encoded_text(header_of(explicit(0x00080018, "UI", b"1.2\0")), tag, text)
