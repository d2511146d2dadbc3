"""What is put into compressed text comes out of any gzip reader, and was never inflated on the way."""

from __future__ import annotations

import gzip
import json
import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pacs.storage import compressed_template
from pacs.storage.compressed_template import SLOT, SLOT_BYTES, compress, gzip_pieces, text_pieces

FILL = b'"http://archive.example:8080/dicomweb'.rjust(SLOT_BYTES)


def like_metadata(number: int, extra: int = 0) -> bytes:
    random.seed(number)
    head = {f"{tag:08X}": {"vr": "DS", "Value": [tag * 3]} for tag in range(0x00100010, 0x00100060)}
    head["00080018"] = {"vr": "UI", "Value": [f"1.2.{random.random()}"]}
    text = json.dumps(head | {"x": "y" * extra}).encode()
    return text[:-1] + b',"7FE00010":{"vr":"OW","BulkDataURI":' + SLOT + f'/instances/1.2.{number}"}}}}'.encode()


def test_no_three_letters_of_the_slot_stand_twice_in_the_same_order() -> None:
    assert len(SLOT) == SLOT_BYTES
    assert len({SLOT[at : at + 3] for at in range(SLOT_BYTES - 2)}) == SLOT_BYTES - 2
    assert all(byte < 0x20 and byte not in b"\t\n\r\0" for byte in SLOT)


@pytest.mark.parametrize("extra", [0, 100, 29_000, 29_950, 32_400, 32_700, 33_000, 70_000])
def test_any_reader_finds_the_filled_text(extra: int) -> None:
    texts = [like_metadata(number, extra) for number in range(30)]
    template = compress(texts)
    expected = b"[" + b"".join(texts).replace(SLOT, FILL) + b"]"
    assert gzip.decompress(b"".join(gzip_pieces([b"[", template, b"]"], FILL))) == expected
    assert b"".join(text_pieces([b"[", template, b"]"], FILL)) == expected
    if extra == 0:
        assert len(template.pieces) == 2, "the slots but the first are copies"
        assert template.compressed_bytes < len(expected) / 10


def test_templates_follow_each_other_in_one_member() -> None:
    parts = [b"[", compress([like_metadata(1), like_metadata(2)]), b",", compress([b"plain"]), compress([]), b"]"]
    whole = b"".join(gzip_pieces(parts, FILL))
    reader = zlib.decompressobj(31)
    text = reader.decompress(whole)
    assert reader.eof
    assert not reader.unused_data, "browsers read one member only"
    assert text == b"".join(text_pieces(parts, FILL))
    assert b",plain]" in text


def test_slots_that_are_not_copied_are_all_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: without the reach, slots out of the window come as they are, which is seen, and mended."""
    texts = [like_metadata(number, 40_000) for number in range(3)]
    monkeypatch.setattr(compressed_template, "_REACH_BYTES", 1 << 20)
    with pytest.raises(compressed_template.SlotsNotFound):
        compressed_template._compressed(texts, reach=1 << 20)
    whole = gzip.decompress(b"".join(gzip_pieces([compress(texts)], FILL)))
    assert whole == b"".join(texts).replace(SLOT, FILL)


_words = st.text(st.characters(min_codepoint=0x20, exclude_categories=["Cs"]), max_size=200).map(str.encode)


@settings(deadline=None)
@given(st.lists(st.lists(_words, min_size=1, max_size=6), max_size=6), st.binary(min_size=80, max_size=80))
def test_any_text_and_any_fill(texts: list[list[bytes]], fill: bytes) -> None:
    joined = [SLOT.join(parts) for parts in texts]
    template = compress(joined)
    assert gzip.decompress(b"".join(gzip_pieces([template], fill))) == b"".join(joined).replace(SLOT, fill)
