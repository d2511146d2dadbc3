from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pacs.model import InstanceKey, Succession
from pacs.storage.tar_record import (
    BLOCK,
    END_OF_ARCHIVE,
    NoRecord,
    Record,
    RecordHead,
    Void,
    encode_head,
    encode_void,
    padded,
    read_record,
    record_of_file,
)

SEGMENT = "default/" + "0f" * 16
HEAD = RecordHead(
    key=InstanceKey("default", "1.2.1", "1.2.2", "1.2.3"),
    sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
    transfer_syntax_uid="1.2.840.10008.1.2.1",
    digest="ab" * 32,
    data_set_offset=2,
    source="import 김 /Users/x",
    received_at="2026-01-01T00:00:00.000+00:00",
)


def record(content: bytes, **changes: object) -> bytes:
    head = encode_head(replace(HEAD, **changes), segment=SEGMENT, file_length=len(content))  # type: ignore[arg-type]
    return head + content.ljust(padded(len(content)), b"\0")


@given(content=st.binary(min_size=2, max_size=1500), source=st.text(max_size=300))
@settings(max_examples=50)
def test_what_is_encoded_is_read_again(content: bytes, source: str) -> None:
    encoded = record(content, source=source)
    assert len(encoded) % BLOCK == 0
    found = read_record(encoded, 0, segment=SEGMENT)
    assert isinstance(found, Record)
    assert found.head == replace(HEAD, source=source)
    assert encoded[found.file_offset : found.file_offset + found.file_length] == content
    assert found.end == len(encoded)


def test_pythons_tarfile_reads_a_segment_and_sees_nothing_of_a_void() -> None:
    segment = record(b"abc") + encode_void(4711, segment=SEGMENT) + record(b"defgh", digest="cd" * 32) + END_OF_ARCHIVE
    with tarfile.open(fileobj=io.BytesIO(segment)) as archive:
        members = archive.getmembers()
        assert [member.name for member in members] == [f"{'ab' * 32}.dcm", f"{'cd' * 32}.dcm"]
        assert archive.extractfile(members[1]).read() == b"defgh"  # type: ignore[union-attr]
        assert json.loads(members[0].pax_headers["comment"])["instance"] == "1.2.3"


def test_a_void_is_read_again() -> None:
    encoded = encode_void(4711, segment=SEGMENT)
    assert read_record(encoded, 0, segment=SEGMENT) == Void(4711, 0, len(encoded))


def test_a_head_of_fixed_size_is_padded_inside_its_comment() -> None:
    head = encode_head(HEAD, segment=SEGMENT, file_length=3, total=3072)
    assert len(head) == 3072
    found = read_record(head + b"abc".ljust(BLOCK, b"\0"), 0, segment=SEGMENT)
    assert isinstance(found, Record)
    assert (found.file_offset, found.head) == (3072, HEAD)
    with pytest.raises(ValueError, match="does not fit"):
        encode_head(replace(HEAD, source="x" * 600), segment=SEGMENT, file_length=3, total=1536)


def test_a_file_past_8_gib_is_written_with_its_size_in_the_extended_header() -> None:
    head = encode_head(HEAD, segment=SEGMENT, file_length=1 << 34)
    with tarfile.open(fileobj=io.BytesIO(head)) as archive:
        assert archive.next().size == 1 << 34  # type: ignore[union-attr]
    with pytest.raises(NoRecord, match="cut off"):
        read_record(head, 0, segment=SEGMENT)


def test_every_cut_of_a_record_is_no_record() -> None:
    encoded = record(b"x" * 700)
    for length in range(0, len(encoded), 37):
        with pytest.raises(NoRecord):
            read_record(encoded[:length], 0, segment=SEGMENT)


def test_a_record_of_another_segment_is_none() -> None:
    with pytest.raises(NoRecord, match="another segment"):
        read_record(record(b"abc"), 0, segment="default/" + "00" * 16)


@given(position=st.integers(0, 2 * BLOCK), value=st.integers(0, 255))
@settings(max_examples=200)
def test_a_changed_byte_of_a_header_never_raises_anything_else(position: int, value: int) -> None:
    encoded = bytearray(record(b"abc"))
    encoded[position] = value
    try:
        found = read_record(bytes(encoded), 0, segment=SEGMENT)
    except NoRecord:
        return
    assert isinstance(found, Record)
    assert encoded[found.file_offset : found.file_offset + found.file_length] == b"abc"
    assert found.end == len(encoded)


@given(junk=st.binary(max_size=3 * BLOCK))
def test_junk_is_no_record(junk: bytes) -> None:
    with pytest.raises(NoRecord):
        read_record(junk, 0, segment=SEGMENT)


@pytest.mark.parametrize("succession", [Succession(), Succession(("ab" * 32, "cd" * 32)), Succession((), True)])
def test_what_a_record_succeeds_is_read_again(succession: Succession) -> None:
    encoded = record(b"abc", succession=succession)
    found = read_record(encoded, 0, segment=SEGMENT)
    assert isinstance(found, Record)
    assert found.head.succession == succession


@pytest.mark.parametrize(("good", "bad"), [(b'["cdcd', b'["xdcd'), (b":false", b":12345"), (b'["cdcd', b'{"cdcd')])
def test_nonsense_in_place_of_what_it_succeeds_is_no_record(good: bytes, bad: bytes) -> None:
    encoded = record(b"abc", succession=Succession(("cd" * 32,)))
    assert good in encoded
    with pytest.raises(NoRecord):
        read_record(encoded.replace(good, bad.ljust(len(good))[: len(good)]), 0, segment=SEGMENT)


def test_the_record_of_a_file_is_found_from_behind() -> None:
    first, second = record(b"abc"), record(b"defgh", source="x" * 1500)
    segment = first + second
    for start, content in ((0, b"abc"), (len(first), b"defgh")):
        found = read_record(segment, start, segment=SEGMENT)
        assert isinstance(found, Record)
        assert segment[found.file_offset :].startswith(content)
        assert record_of_file(segment, found.file_offset, segment=SEGMENT) == found
    for offset in (0, BLOCK, found.file_offset - BLOCK, found.file_offset + BLOCK):
        with pytest.raises(NoRecord):
            record_of_file(segment, offset, segment=SEGMENT)
