"""Entity tags, compression, JSON."""

from __future__ import annotations

import gzip
import json

import pytest

from pacs.dicomweb.responses import (
    accepts_gzip,
    compressed,
    encoded_json,
    entity_tag,
    header_of,
    is_known_to_client,
    json_array,
)


@pytest.mark.parametrize(
    ("header", "is_known"),
    [
        (None, False),
        ("", False),
        ('"a"', True),
        ('W/"a"', True),
        ('"b", "a"', True),
        ("*", True),
        ('"ab"', False),
        ("a", False),
    ],
)
def test_if_none_match(header: str | None, is_known: bool) -> None:
    assert is_known_to_client(header, '"a"') is is_known


def test_entity_tags_tell_apart() -> None:
    assert entity_tag("a", "bc") != entity_tag("ab", "c")
    assert entity_tag("a") == entity_tag("a")


@pytest.mark.parametrize(
    ("header", "is_accepted"),
    [
        (None, False),
        ("", False),
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("*", True),
        ("br", False),
    ],
)
def test_accept_encoding(header: str | None, is_accepted: bool) -> None:
    assert accepts_gzip(header) is is_accepted


def test_json_arrays() -> None:
    assert b"".join(json_array([])) == b"[]"
    assert json.loads(b"".join(json_array([{"a": 1}, {"b": "김"}]))) == [{"a": 1}, {"b": "김"}]
    assert encoded_json("\ud800") == b'"?"'


def test_compressed_pieces() -> None:
    pieces = [bytes(range(256)) * 400 for _ in range(20)]
    assert gzip.decompress(b"".join(compressed(iter(pieces), flush_bytes=100))) == b"".join(pieces)


def test_header_fields_are_joined() -> None:
    scope = {"headers": [(b"accept", b"a/b"), (b"x", b"y"), (b"accept", b"c/d")]}
    assert header_of(scope, b"accept") == "a/b, c/d"
    assert header_of(scope, b"host") is None
