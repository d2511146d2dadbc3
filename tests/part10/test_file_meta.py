from __future__ import annotations

import io

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs.errors import NotDicom
from pacs.part10.file_meta import IMPLEMENTATION_CLASS_UID, read_file_meta, write_file_meta
from tests.part10.encoding import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, explicit, implicit

uids = st.from_regex(r"[1-9][0-9]{0,3}(\.[0-9]{1,5}){1,9}", fullmatch=True)
HEAD = write_file_meta(sop_class_uid="1.2.3", sop_instance_uid="1.2.3.4", transfer_syntax_uid=EXPLICIT_LITTLE)


@given(uids, uids, uids, st.from_regex(r"[A-Z][A-Z0-9_]{0,15}", fullmatch=True) | st.just(""), st.binary(max_size=9))
def test_round_trip(sop_class, sop_instance, syntax, title, data_set):
    head = write_file_meta(
        sop_class_uid=sop_class, sop_instance_uid=sop_instance, transfer_syntax_uid=syntax, source_ae_title=title
    )
    meta = read_file_meta(head + b"\x08\x00" + data_set)
    assert meta.data_set_offset == len(head)
    assert (meta.sop_class_uid, meta.sop_instance_uid) == (sop_class, sop_instance)
    assert (meta.transfer_syntax_uid, meta.source_ae_title) == (syntax, title)


def test_pydicom_reads_what_we_write():
    head = write_file_meta(
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        sop_instance_uid="1.2.3",
        transfer_syntax_uid=EXPLICIT_LITTLE,
        source_ae_title="CT1",
    )
    found = pydicom.dcmread(io.BytesIO(head + explicit(0x00100020, "LO", b"1 ")))
    assert found.file_meta.MediaStorageSOPInstanceUID == "1.2.3"
    assert found.file_meta.TransferSyntaxUID == EXPLICIT_LITTLE
    assert found.file_meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert found.file_meta.SourceApplicationEntityTitle == "CT1"
    assert found.file_meta.FileMetaInformationGroupLength == len(head) - 128 - 4 - 12
    assert found.PatientID == "1"


def test_without_preamble():
    assert read_file_meta(HEAD[132:]).data_set_offset == len(HEAD) - 132
    assert read_file_meta(memoryview(HEAD)[128:]).data_set_offset == len(HEAD) - 128


def test_group_length_that_lies_is_not_believed():
    wrong = bytearray(HEAD + b"\x08\x00")
    wrong[140:144] = b"\xff\xff\xff\x00"
    assert read_file_meta(wrong).data_set_offset == len(HEAD)


AGAIN = explicit(0x00020010, "UI", b"1.2.840.10008.1.2.4.50")


def test_an_element_behind_the_group_is_none_of_it():
    """Else a file could name one transfer syntax to readers that go by the group's length, and another one to us."""
    meta = read_file_meta(HEAD + AGAIN + b"\x08\x00")
    assert (meta.transfer_syntax_uid, meta.data_set_offset) == (EXPLICIT_LITTLE, len(HEAD))


@pytest.mark.parametrize("claimed", [None, 0, 0xFFFFFF, len(HEAD) - 144 + len(AGAIN)])
def test_of_an_element_that_stands_twice_in_the_group_the_first_counts(claimed):
    group = HEAD[144:] + AGAIN
    length = b"" if claimed is None else explicit(0x00020000, "UL", claimed.to_bytes(4, "little"))
    meta = read_file_meta(HEAD[:132] + length + group + b"\x08\x00")
    assert meta.transfer_syntax_uid == EXPLICIT_LITTLE
    assert meta.data_set_offset == 132 + len(length) + len(group)


@pytest.mark.parametrize(
    ("data_set", "syntax"),
    [
        (explicit(0x00080005, "CS", b"ISO_IR 100"), EXPLICIT_LITTLE),
        (explicit(0x00080005, "CS", b"ISO_IR 100", order=">"), EXPLICIT_BIG),
        (implicit(0x00080005, b"ISO_IR 100") + implicit(0x00080018, b"1.2\0"), IMPLICIT_LITTLE),
    ],
)
def test_bare_data_set_shows_its_encoding(data_set, syntax):
    meta = read_file_meta(data_set)
    assert (meta.transfer_syntax_uid, meta.data_set_offset, meta.sop_instance_uid) == (syntax, 0, "")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        bytes(4096),
        b"<html>" * 100,
        b"\x08\x00" * 50,
        bytes(128) + b"DICM",
        bytes(128) + b"DICM" + explicit(0x00020010, "UI", b"1.2\0", 0xFFF0),
        bytes(128) + b"DICM" + explicit(0x00020001, "OB", b"\0\1", 0xFFFFFFFF),
        bytes(128) + b"DICM" + explicit(0x00020001, "OB", b"")[:9],
        bytes(128) + b"DICM" + explicit(0x00020002, "UI", b"1.2\0"),
        explicit(0x00020002, "UI", b"") * 300,
    ],
)
def test_not_dicom(content):
    with pytest.raises(NotDicom):
        read_file_meta(content)


@given(st.integers(0, 400).flatmap(lambda cut: st.tuples(st.just(cut), st.binary(max_size=64))))
def test_torn_and_overwritten_heads_give_a_result_or_not_dicom(change):
    position, junk = change
    data = HEAD[:position] + junk + HEAD[position + len(junk) :]
    try:
        meta = read_file_meta(data)
    except NotDicom:
        return
    assert 0 <= meta.data_set_offset <= len(data)


@given(st.binary(max_size=300))
def test_random_bytes(data):
    for content in (data, HEAD[:132] + data, b"\x02\x00" + data):
        try:
            meta = read_file_meta(content)
        except NotDicom:
            continue
        assert meta.transfer_syntax_uid
        assert 0 <= meta.data_set_offset <= len(content)
