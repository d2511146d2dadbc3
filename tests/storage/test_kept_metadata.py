from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs.storage.compressed_template import SLOT, SLOT_BYTES, compress, gzip_pieces
from pacs.storage.kept_metadata import KeptMetadata

ENDLESS = b'{"form":"1","pieces":[],"checks":[1,1],"size":1e999}\n'
DEEP = b"[" * 100_000 + b"\n"
KEPT = KeptMetadata("4-2-1000-17 1", "abc", 2, compress([b"{%b/1}" % SLOT, b",{%b/2}" % SLOT]))


def test_it_comes_back_whole() -> None:
    found = KeptMetadata.decoded(KEPT.encoded())
    assert found is not None
    assert (found.revision, found.identity, found.instances) == ("4-2-1000-17 1", "abc", 2)
    fill = b"x" * SLOT_BYTES
    assert gzip.decompress(b"".join(gzip_pieces([found.template], fill))) == b"{%b/1},{%b/2}" % (fill, fill)
    assert found.encoded() == KEPT.encoded()


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"[]\n", b"{}\n", b"no", KEPT.encoded()[:-1], KEPT.encoded() + b"x", ENDLESS, DEEP]
)
def test_another_form_is_nothing(content: bytes) -> None:
    assert KeptMetadata.decoded(content) is None


@given(st.integers(0, 10_000), st.binary(max_size=4))
def test_changed_bytes_never_raise(at: int, other: bytes) -> None:
    whole = KEPT.encoded()
    at %= len(whole)
    found = KeptMetadata.decoded(whole[:at] + other + whole[at + len(other) :])
    assert found is None or KeptMetadata.decoded(found.encoded()) == found
