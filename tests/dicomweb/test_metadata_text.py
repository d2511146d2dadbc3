from __future__ import annotations

import gzip
import json

import pytest

from pacs.dicomweb.metadata_text import TextOfMetadata
from pacs.metadata import Form
from pacs.storage.compressed_template import SLOT, Template, compress

ONE = b'{"a":' + SLOT + b'/1"}'
TWO = b'{"b":' + SLOT + b'/2"}'


@pytest.mark.parametrize(
    "base", ["http://h", "http://" + "h" * 72, "http://" + "h" * 73, "http://" + "h" * 300, 'http://"\u91d1']
)
@pytest.mark.parametrize(
    ("texts", "count"),
    [
        ([ONE], 1),
        ([compress([ONE])], 1),
        ([compress([ONE, b",", TWO]), compress([TWO])], 3),
        ([compress([ONE]), TWO], 2),
    ],
)
def test_the_address_stands_in_every_uri(base: str, texts: list[Template | bytes], count: int) -> None:
    array = TextOfMetadata(Form.JSON, texts, base)
    plain = b"".join(array.pieces())
    assert gzip.decompress(b"".join(array.compressed())) == plain
    assert array.size == len(plain)
    found = [value for each in json.loads(plain) for value in each.values()]
    assert len(found) == count
    assert {value[:-2] for value in found} == {base}
    assert found[0] == f"{base}/1"


def test_much_is_sent_piece_by_piece() -> None:
    array = TextOfMetadata(Form.JSON, [compress([b'{"a":"%b"}' % (b"x" * (6 << 20))])], "http://h")
    assert array.is_long
    assert max(map(len, array.pieces())) < 1 << 19
    assert not TextOfMetadata(Form.JSON, [ONE], "http://h").is_long
