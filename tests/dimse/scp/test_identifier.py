"""Requests as real clients encode them: every transfer syntax, character sets, and hostile bytes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from pacs.dimse.scp.identifier import MAX_DEPTH, MAX_KEYS, Identifier, Key, decode_identifier
from pacs.errors import InvalidRequest, PacsError
from tests.dimse.scp.fake_exchange import EXPLICIT, IMPLICIT, encoded

NAME, STUDY_UID, LEVEL = 0x00100010, 0x0020000D, 0x00080052


def request() -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel = "STUDY"
    query.PatientName = "Yamada^*"
    query.PatientID = ""
    query.StudyDate = "20200101-20201231"
    query.StudyInstanceUID = ["1.2.3", "1.2.4"]
    query.NumberOfStudyRelatedInstances = ""
    query.AccessionNumber = "*"
    return query


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
def test_keys_come_as_text(syntax: str) -> None:
    found = decode_identifier(encoded(request(), syntax), syntax)
    assert found.value(LEVEL) == "STUDY"
    assert found.values(NAME) == ("Yamada^*",)
    assert found.values(0x00080020) == ("20200101-20201231",)
    assert found.values(STUDY_UID) == ("1.2.3", "1.2.4")
    assert found.by_tag[0x00100020].values == ()


def test_a_list_too_long_for_its_vr_comes_as_unknown() -> None:
    """PS3.5 §6.2.2: of more than 65,534 bytes, explicit VR has no UI but UN; pydicom, and so pynetdicom, does that."""
    query = request()
    query.StudyInstanceUID = [f"1.2.826.0.1.3680043.9.9998.{number}" for number in range(5_000)]
    with pytest.warns(UserWarning, match="64"):
        data_set = encoded(query, EXPLICIT)
    assert decode_identifier(data_set, EXPLICIT).values(STUDY_UID) == tuple(query.StudyInstanceUID)
    names = "\\".join(["Müller"] * 10_000).encode()
    head = struct.pack("<HH2sHL", 0x10, 0x10, b"UN", 0, len(names))
    assert decode_identifier(head + names, EXPLICIT).values(NAME) == ("Müller",) * 10_000
    for tag in (0x7FE00010, 0x00400275, 0x00091001, 0x00280010):
        head = struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, b"UN", 0, 70_000)
        assert decode_identifier(head + bytes(70_000), EXPLICIT).by_tag[tag].vr == "UN", (
            "what is no text stays as it is"
        )


def test_a_lone_asterisk_is_universal_matching() -> None:
    assert decode_identifier(encoded(request()), IMPLICIT).by_tag[0x00080050].values == ()


def test_no_bytes_are_no_keys() -> None:
    assert decode_identifier(b"", IMPLICIT) == Identifier()


def test_deflated_and_big_endian() -> None:
    deflater = zlib.compressobj(wbits=-15)
    deflated = deflater.compress(encoded(request(), EXPLICIT)) + deflater.flush()
    assert decode_identifier(deflated, "1.2.840.10008.1.2.1.99").value(LEVEL) == "STUDY"
    big_endian = struct.pack(">HH2sH", 0x0008, 0x0052, b"CS", 6) + b"SERIES"
    assert decode_identifier(big_endian, "1.2.840.10008.1.2.2").value(LEVEL) == "SERIES"


@pytest.mark.parametrize(
    ("character_set", "stored", "text"),
    [
        (b"ISO_IR 100", "Müller^Jörg".encode("latin-1"), "Müller^Jörg"),
        (b"ISO_IR 192", "홍^길동".encode(), "홍^길동"),
        (
            b"\\ISO 2022 IR 149",
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
            "Hong^Gildong=洪^吉洞=홍^길동",
        ),
        (b"ISO 2022 IR 149", "홍^길동".encode("euc_kr"), "홍^길동"),
        (b"", "김*".encode(), "김*"),
        (b"", "Müller".encode("latin-1"), "Müller"),
    ],
)
def test_text_in_the_character_set_of_the_request(character_set: bytes, stored: bytes, text: str) -> None:
    def element(tag: int, value: bytes) -> bytes:
        value += b" " * (len(value) % 2)
        return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value)) + value

    head = element(0x00080005, character_set) if character_set else b""
    found = decode_identifier(head + element(LEVEL, b"STUDY") + element(NAME, stored), IMPLICIT)
    assert found.values(NAME) == (text,)
    assert found.character_set == (tuple(character_set.decode().split("\\")) if character_set else ())


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
@pytest.mark.parametrize("undefined", [True, False])
def test_keys_inside_a_sequence(syntax: str, undefined: bool) -> None:
    query = request()
    item = Dataset()
    item.ScheduledProcedureStepID = "SPS1"
    item.RequestedProcedureID = ""
    query.RequestAttributesSequence = [item]
    query["RequestAttributesSequence"].is_undefined_length = undefined
    key = decode_identifier(encoded(query, syntax), syntax).by_tag[0x00400275]
    assert [(inner.tag, inner.values) for inner in key.item] == [(0x00400009, ("SPS1",)), (0x00401001, ())]


def test_more_than_one_item_is_refused() -> None:
    query = request()
    query.RequestAttributesSequence = [Dataset(), Dataset()]
    with pytest.raises(InvalidRequest, match="2 items"):
        decode_identifier(encoded(query), IMPLICIT)


def test_too_many_keys_are_refused() -> None:
    keys = b"".join(struct.pack("<HHL", 0x0011, number, 0) for number in range(1, MAX_KEYS + 2))
    with pytest.raises(InvalidRequest, match="more than"):
        decode_identifier(keys, IMPLICIT)


def test_ten_thousand_sequences_deep_is_an_error_not_a_crash() -> None:
    deep = struct.pack("<HHLHHL", 0x0040, 0x0275, 0xFFFFFFFF, 0xFFFE, 0xE000, 0xFFFFFFFF) * 10_000
    with pytest.raises(PacsError):
        decode_identifier(deep, IMPLICIT)


def test_a_length_beyond_the_end_is_an_error() -> None:
    with pytest.raises(PacsError, match="claims"):
        decode_identifier(struct.pack("<HHL", 0x0008, 0x0052, 0xFFFFFFF0) + b"STUDY ", IMPLICIT)


_TAGS = st.sampled_from([0x00080000, 0x00080005, 0x00080052, NAME, STUDY_UID, 0x00200000, 0x00400275, 0x00091001])
_KEYS = st.tuples(_TAGS, st.binary(max_size=8)).map(
    lambda key: struct.pack("<HHL", key[0] >> 16, key[0] & 0xFFFF, len(key[1])) + key[1]
)


@given(
    st.binary(max_size=300) | st.lists(_KEYS, max_size=6).map(b"".join),
    st.sampled_from([IMPLICIT, IMPLICIT, EXPLICIT, "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"]),
)
def test_any_bytes_give_keys_or_an_error_of_ours(data_set: bytes, syntax: str) -> None:
    def keys_of(keys: tuple[Key, ...], depth: int = 0) -> Iterator[Key]:
        assert depth <= MAX_DEPTH
        for key in keys:
            yield key
            yield from keys_of(key.item, depth + 1)

    try:
        found = decode_identifier(data_set, syntax)
    except PacsError as refused:
        assert str(refused)
        return
    every = list(keys_of(found.keys))
    assert len(every) <= MAX_KEYS
    assert all(key.tag & 0xFFFF and key.tag != 0x00080005 for key in every)
    assert all(value for key in every for value in key.values), "no value is universal matching, an empty one is none"
    assert [key.tag for key in found.keys] == sorted(found.by_tag)
