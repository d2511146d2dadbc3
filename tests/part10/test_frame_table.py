from __future__ import annotations

import random
import time
import warnings
import zlib

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.encaps import generate_frames

from pacs.errors import NotFound, PeerFault, StoredBytesDamaged
from pacs.part10.file_meta import read_file_meta
from pacs.part10.frame_table import FrameTable, frame_table
from pacs.part10.header import scan
from tests.part10.encoding import EXPLICIT_LITTLE, JPEG_BASELINE, encapsulated, explicit, image, item, us

OW = 0x7FE00010
WITHOUT_DELIMITER = "emri_small_jpeg_2k_lossless_too_short.dcm"
"""Its last delimiter is missing, and pydicom gives it up."""


def table_of(data: bytes, syntax: str = EXPLICIT_LITTLE) -> FrameTable:
    return frame_table(scan(data, syntax))


def test_native_frames_follow_each_other():
    data = image(explicit(OW, "OW", bytes(range(96))), frames=2)
    table = table_of(data)
    assert len(table) == 2
    assert [data[o : o + n] for number in (1, 2) for o, n in table.fragments(number)] == [
        bytes(range(48)),
        bytes(range(48, 96)),
    ]
    assert table.bit_offset(2) == 0


@pytest.mark.parametrize(
    ("length", "frames", "expected"),
    [(48, 1, 1), (48, None, 1), (50, 1, 1), (47, 1, 0), (96, 3, 2), (96, 1, 1), (48, 0, 1), (48, 1 << 40, 1)],
)
def test_only_whole_frames_that_are_there(length, frames, expected):
    assert len(table_of(image(explicit(OW, "OW", bytes(length)), frames=frames))) == expected


def test_one_bit_frames_that_are_not_byte_aligned():
    data = image(explicit(OW, "OB", bytes(range(12))), rows=3, columns=9, bits=1, frames=3)
    table = table_of(data)
    start = len(data) - 12
    assert [table.fragments(number) for number in (1, 2, 3)] == [
        ((start, 4),),
        ((start + 3, 4),),
        ((start + 6, 5),),
    ]
    assert [table.bit_offset(number) for number in (1, 2, 3)] == [0, 3, 6]


@pytest.mark.parametrize(("tag", "vr", "size"), [(0x7FE00008, "OF", 4), (0x7FE00009, "OD", 8)])
def test_float_pixels(tag, vr, size):
    table = table_of(image(explicit(tag, vr, bytes(24 * size * 2)), bits=0, frames=2))
    assert [length for number in (1, 2) for _, length in table.fragments(number)] == [24 * size] * 2


@pytest.mark.parametrize(("length", "size"), [(2 * 48, 48), (2 * 72, 72)])
def test_native_422(length, size):
    colour = us(0x00280002, 3) + explicit(0x00280004, "CS", b"YBR_FULL_422")
    table = table_of(image(colour, explicit(OW, "OB", bytes(length)), bits=8, frames=2))
    assert (len(table), table.fragments(2)[0][1]) == (2, size)


@pytest.mark.parametrize(
    "data",
    [
        explicit(0x00080018, "UI", b"1.2\0"),
        explicit(0x00080018, "UI", b"1.2\0") + explicit(OW, "OW", bytes(64)),
        image(explicit(OW, "OW", bytes(64)), rows=0),
        image(explicit(OW, "OW", bytes(64)), bits=0),
        image(explicit(OW, "OW", bytes(64)), bits=0xFFFF),
        image(explicit(OW, "OW", b"")),
    ],
)
def test_what_cannot_be_told_has_no_frames(data):
    table = table_of(data)
    assert len(table) == 0
    with pytest.raises(NotFound):
        table.fragments(1)


def test_encapsulated_frames():
    data = image(encapsulated(b"\xff\xd8\xff\xdbaaaa", b"bb", b"\xff\xd8\xff\xdb"), frames=2)
    table = table_of(data, JPEG_BASELINE)
    assert [b"".join(data[o : o + n] for o, n in table.fragments(number)) for number in (1, 2)] == [
        b"\xff\xd8\xff\xdbaaaabb",
        b"\xff\xd8\xff\xdb",
    ]


def test_torn_fragments_have_no_frames():
    data = image(explicit(OW, "OB", item(b"") + item(b"abcd")[:-2]))
    assert len(table_of(data, JPEG_BASELINE)) == 0


@pytest.mark.parametrize("number", [0, -1, 3])
def test_no_such_frame(number):
    table = table_of(image(explicit(OW, "OW", bytes(96)), frames=2))
    with pytest.raises(NotFound, match="the instance has 2"):
        table.fragments(number)
    with pytest.raises(NotFound):
        table.bit_offset(number)


@given(st.lists(st.lists(st.tuples(st.integers(0, 1 << 36), st.integers(0, 0xFFFFFFFF)), min_size=1), max_size=20))
def test_encapsulated_round_trip(frames):
    offsets, lengths, firsts, position = [], [], [0], 0
    for fragments in frames:
        for gap, length in fragments:
            position += gap
            offsets.append(position)
            lengths.append(length)
            position += length
        firsts.append(len(offsets))
    table = FrameTable(True, offsets=tuple(offsets), lengths=tuple(lengths), firsts=tuple(firsts))
    assert FrameTable.decode(table.encode()) == table


@given(st.integers(0, 1 << 40), st.integers(1, 1 << 40), st.integers(0, (1 << 31) - 1))
def test_native_round_trip(offset, bits, count):
    table = FrameTable(False, offset, bits, count)
    assert FrameTable.decode(table.encode()) == table
    assert len(table.encode()) < 32


def test_nothing_is_a_table_without_frames():
    assert len(FrameTable.decode(b"")) == 0


@given(st.binary(min_size=1, max_size=60))
def test_damaged_tables_are_refused(encoded):
    try:
        table = FrameTable.decode(encoded)
    except StoredBytesDamaged:
        return
    assert len(table) >= 0


def test_a_table_that_inflates_without_end_is_refused():
    with pytest.raises(StoredBytesDamaged):
        FrameTable.decode(b"\x03\x04\0\0\0\x04\0\0\0" + zlib.compress(bytes(1 << 24)))


def test_many_frames_are_compact_and_fast():
    sizes = random.Random(1).choices(range(20_000, 40_000), k=5_000)
    offsets, position = [], 1000
    for size in sizes:
        offsets.append(position + 8)
        position += 8 + size
    table = FrameTable(True, offsets=tuple(offsets), lengths=tuple(sizes), firsts=tuple(range(5_001)))
    encoded = table.encode()
    assert len(encoded) < 4 * 5_000
    start = time.process_time()
    FrameTable.decode(encoded).fragments(4_000)
    assert time.process_time() - start < 0.1


def test_frames_equal_pydicoms_on_the_corpus(corpus):
    compared = 0
    for line in (corpus / "INDEX.tsv").read_text().splitlines()[1:]:
        path = corpus / line.split("\t")[0]
        for file in [path] if path.is_file() else sorted(found for found in path.rglob("*") if found.is_file())[:2]:
            content = memoryview(file.read_bytes())
            try:
                meta = read_file_meta(content)
                header = scan(content[meta.data_set_offset :], meta.transfer_syntax_uid)
            except PeerFault:
                continue
            if header.pixel_data is None or file.name == WITHOUT_DELIMITER:
                continue
            table = frame_table(header)
            assert FrameTable.decode(table.encode()) == table
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                data_set = pydicom.dcmread(file, force=True)
            number_of_frames = int(data_set.get("NumberOfFrames") or 1)
            assert len(table) == number_of_frames, file
            frames = [
                b"".join(header.buffer[o : o + n] for o, n in table.fragments(number))
                for number in range(1, number_of_frames + 1)
            ]
            if table.is_encapsulated:
                assert frames == list(generate_frames(data_set.PixelData, number_of_frames=number_of_frames)), file
            elif table.frame_bits % 8 == 0:
                value = next(data_set[tag].value for tag in (0x7FE00010, 0x7FE00008, 0x7FE00009) if tag in data_set)
                assert value.startswith(b"".join(frames)), file
            compared += 1
    assert compared > 250
