from __future__ import annotations

import mmap
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs.errors import MalformedDataSet, PeerFault, TooLarge
from pacs.part10.elements import MAX_TOP_LEVEL_ELEMENTS
from pacs.part10.file_meta import read_file_meta
from pacs.part10.header import scan
from tests.part10.encoding import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    JPEG_BASELINE,
    encapsulated,
    explicit,
    image,
    implicit,
    item,
    sequence,
    us,
)

DEFLATED = "1.2.840.10008.1.2.1.99"
A = explicit(0x00080018, "UI", b"1.2\0")
PIXELS = explicit(0x7FE00010, "OW", bytes(48))


def deflated(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(data) + deflater.flush()


def test_pixel_data_is_skipped_and_what_follows_is_found():
    data = image(PIXELS, explicit(0xFFFCFFFC, "OB", b"\0\0"))
    header = scan(data, EXPLICIT_LITTLE)
    assert header.pixel_data is not None
    assert header.pixel_data.length == 48
    assert header.header_length == data.index(PIXELS)
    assert header.data_set_length == len(data)
    assert 0xFFFCFFFC in header.elements
    assert not header.is_encapsulated


def test_encapsulated_is_what_the_data_set_says():
    assert scan(image(encapsulated(b"ab")), EXPLICIT_LITTLE).is_encapsulated
    assert not scan(image(PIXELS), JPEG_BASELINE).is_encapsulated
    assert scan(image(encapsulated(b"ab")), "1.2.3.4").is_encapsulated


def test_encapsulated_with_a_defined_length():
    fragments = item(b"") + item(b"abcd")
    header = scan(image(explicit(0x7FE00010, "OB", fragments)), JPEG_BASELINE)
    assert header.is_encapsulated


def test_without_pixel_data_the_header_is_all():
    header = scan(A, EXPLICIT_LITTLE)
    assert (header.pixel_data, header.header_length, header.is_encapsulated) == (None, len(A), False)


@pytest.mark.parametrize("tag", [0x7FE00008, 0x7FE00009])
def test_float_pixel_data(tag):
    header = scan(image(explicit(tag, "OF", bytes(96))), EXPLICIT_LITTLE)
    assert header.pixel_data is not None
    assert header.pixel_data.tag == tag


@pytest.mark.parametrize("claimed", [EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG])
def test_the_first_element_has_the_last_word_on_the_encoding(claimed):
    little, implicit_little, big = (
        scan(A, claimed),
        scan(implicit(0x00080018, b"1.2\0"), claimed),
        scan(explicit(0x00080018, "UI", b"1.2\0", order=">"), claimed),
    )
    assert {header.uid(0x00080018) for header in (little, implicit_little, big)} == {"1.2"}
    assert (little.is_implicit_vr, implicit_little.is_implicit_vr, big.is_implicit_vr) == (False, True, False)
    assert (little.is_little_endian, implicit_little.is_little_endian, big.is_little_endian) == (True, True, False)


def test_deflated():
    header = scan(deflated(image(PIXELS)), DEFLATED)
    assert header.uid(0x00080018) == "1.2.3"
    assert header.data_set_length == len(image(PIXELS))


def test_deflated_bomb():
    with pytest.raises(TooLarge, match="max_inflated_bytes"):
        scan(deflated(image(explicit(0x7FE00010, "OW", bytes(1 << 20)))), DEFLATED, max_inflated_bytes=1 << 16)


@pytest.mark.parametrize("data", [deflated(image(PIXELS))[:-6], b"no deflated data", b""])
def test_deflated_damaged(data):
    with pytest.raises(MalformedDataSet):
        scan(data, DEFLATED)


@pytest.mark.parametrize("data", [b"", b"\x08\x00", bytes(64)])
def test_nothing_in_it(data):
    with pytest.raises(MalformedDataSet):
        scan(data, EXPLICIT_LITTLE)


def test_endless_elements_are_refused():
    with pytest.raises(MalformedDataSet, match="more than 65536 elements"):
        scan(explicit(0x00091010, "LO", b"") * 70_000, EXPLICIT_LITTLE)


@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, IMPLICIT_LITTLE])
def test_any_number_of_zeros_behind_the_data_set_is_padding(syntax):
    one = explicit(0x00100020, "LO", b"ab") if syntax == EXPLICIT_LITTLE else implicit(0x00100020, b"ab")
    header = scan(one + bytes(8 * MAX_TOP_LEVEL_ELEMENTS + 2_000_003), syntax)
    assert (list(header.elements), header.text(0x00100020)) == ([0x00100020], "ab")
    with pytest.raises(MalformedDataSet, match="more than"):
        scan(one + bytes(8 * MAX_TOP_LEVEL_ELEMENTS) + one, syntax)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer(kind):
    assert scan(kind(A), EXPLICIT_LITTLE).uid(0x00080018) == "1.2"


def test_memory_map():
    with mmap.mmap(-1, 4096) as mapped:
        mapped[: len(A)] = A
        header = scan(memoryview(mapped)[: len(A)], EXPLICIT_LITTLE)
        assert header.uid(0x00080018) == "1.2"
        header.buffer.release()


def test_typed_values():
    data = b"".join(
        (
            explicit(0x00080005, "CS", b"ISO_IR 192"),
            explicit(0x00080008, "CS", b"ORIGINAL\\PRIMARY "),
            explicit(0x00080016, "UI", b""),
            A,
            explicit(0x00100010, "PN", "김희중".encode() + b" "),
            explicit(0x00180050, "DS", b" 1.5\\x\\2 "),
            explicit(0x00200013, "IS", b"+07 "),
            us(0x00280010, 512),
        )
    )
    header = scan(data, EXPLICIT_LITTLE)
    assert header.uid(0x00080018) == "1.2"
    assert header.uid(0x00080016) is None
    assert header.uid(0x0020000D) is None
    assert header.text(0x00100010) == "김희중"
    assert header.text(0x00100020) is None
    assert header.texts(0x00080008) == ("ORIGINAL", "PRIMARY")
    assert header.texts(0x00080016) == header.texts(0x00100020) == ()
    assert header.numbers(0x00180050) == (1.5, 2)
    assert header.integer(0x00200013) == 7
    assert header.integer(0x00280010) == 512
    assert header.integer(0x00280011) is None
    assert header.integer(0x00180050) is None
    assert header.number(0x00180050) == 1.5


def test_us_or_ss_is_decided_by_pixel_representation():
    data = implicit(0x00280103, b"\1\0") + implicit(0x00280106, b"\xff\xff")
    header = scan(data, IMPLICIT_LITTLE)
    assert header.vr(header.elements[0x00280106]) == "SS"
    assert header.integer(0x00280106) == -1
    assert scan(implicit(0x00280106, b"\xff\xff"), IMPLICIT_LITTLE).integer(0x00280106) == 65535


def test_items_of_a_sequence():
    data = explicit(0x00080005, "CS", b"ISO_IR 192") + sequence(
        0x00081140, item(explicit(0x00080104, "LO", "é".encode())), item(us(0x00280010, 3)), is_undefined=True
    )
    first, second = scan(data, EXPLICIT_LITTLE).items(0x00081140)
    assert first.text(0x00080104) == "é"
    assert second.integer(0x00280010) == 3
    assert scan(data, EXPLICIT_LITTLE).items(0x00081199) == ()


@given(st.binary(max_size=300), st.sampled_from([EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED, "1.2.3"]))
def test_random_bytes(data, syntax):
    try:
        header = scan(data, syntax, max_inflated_bytes=1 << 20)
    except PeerFault:
        return
    assert header.header_length <= header.data_set_length <= len(header.buffer)
    for tag, element in header.elements.items():
        assert 0 < element.value_offset <= element.end <= len(header.buffer)
        value = bytes(header.value(tag) or b"")
        assert len(header.text(tag) or "") <= len(value)
        assert len(header.numbers(tag)) <= len(value)
        assert (header.uid(tag) or "").encode("latin-1") in value


def test_the_corpus_is_scanned_or_refused_with_a_reason(corpus):
    refused = {}
    for line in (corpus / "INDEX.tsv").read_text().splitlines()[1:]:
        path = corpus / line.split("\t")[0]
        for file in [path] if path.is_file() else filter(lambda found: found.is_file(), path.rglob("*")):
            content = file.read_bytes()
            try:
                meta = read_file_meta(content)
                header = scan(memoryview(content)[meta.data_set_offset :], meta.transfer_syntax_uid)
            except PeerFault as error:
                refused[file.name] = type(error).__name__
                continue
            assert header.header_length <= header.data_set_length
            assert header.pixel_data is None or header.pixel_data.offset == header.header_length
    assert refused == {}
