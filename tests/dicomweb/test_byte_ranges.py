"""RFC 9110 §14, table by table, and every cut of a few pieces."""

from __future__ import annotations

import pytest

from pacs.dicomweb.byte_ranges import ByteRange, asked_range, cut


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=0-9", (0, 10)),
        ("bytes=3-", (3, 10)),
        ("bytes=3-1000", (3, 10)),
        ("bytes=-4", (6, 10)),
        ("bytes=-1000", (0, 10)),
        ("Bytes = 2 - 3", (2, 4)),
    ],
)
def test_one_range_is_understood(header: str, expected: tuple[int, int]) -> None:
    assert asked_range(header, 10) == expected


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=999999999999999999-"])
def test_a_range_behind_the_end_cannot_be_served(header: str) -> None:
    part = asked_range(header, 10)
    assert part is not None
    assert not part.is_satisfiable


@pytest.mark.parametrize(
    "header",
    [
        *(None, "", "bytes", "bytes=", "bytes=-", "bytes=5-4", "bytes=a-b", "items=0-1", "bytes=0-1,4-5", "bytes=1-2x"),
        *("bytes=" + "9" * 19 + "-", "bytes=٠-١", "bytes=0x1-2", "bytes=+1-2"),
    ],
)
def test_anything_else_is_answered_whole(header: str | None) -> None:
    assert asked_range(header, 10) is None


def test_every_cut_of_pieces_is_that_of_the_whole() -> None:
    pieces = [b"abc", b"", memoryview(b"d"), b"efgh"]
    whole = b"abcdefgh"
    for start in range(len(whole)):
        for end in range(start + 1, len(whole) + 1):
            assert b"".join(cut(pieces, ByteRange(start, end))) == whole[start:end]


def test_nothing_is_copied_and_no_piece_is_asked_for_in_vain() -> None:
    def pieces():
        yield b"0123456789"
        raise AssertionError("the second piece is not needed")

    (view,) = cut(pieces(), ByteRange(2, 10))
    assert view.obj == b"0123456789"
