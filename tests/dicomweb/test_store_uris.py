"""A BulkDataURI and the Content-Location of its part are the same when RFC 3986 says so, however each is written."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import generate_uid

from pacs.dicomweb.store_uris import content_id_uri, resolved
from tests.dicomweb.metadata_requests import JSON, metadata
from tests.dicomweb.served import DoorInMemory, OneDoorInMemory, archive_under

BASE = "http://a/b/c/d;p?q"
RAW = bytes(range(48))


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        # RFC 3986 §5.4.1 and §5.4.2
        ("g:h", "g:h"),
        ("g", "http://a/b/c/g"),
        ("./g", "http://a/b/c/g"),
        ("g/", "http://a/b/c/g/"),
        ("/g", "http://a/g"),
        ("//g", "http://g/"),
        ("?y", "http://a/b/c/d;p?y"),
        ("g?y", "http://a/b/c/g?y"),
        ("#s", "http://a/b/c/d;p?q#s"),
        ("g?y#s", "http://a/b/c/g?y#s"),
        (";x", "http://a/b/c/;x"),
        (".", "http://a/b/c/"),
        ("..", "http://a/b/"),
        ("../g", "http://a/b/g"),
        ("../..", "http://a/"),
        ("../../../g", "http://a/g"),
        ("/./g", "http://a/g"),
        ("/../g", "http://a/g"),
        ("g.", "http://a/b/c/g."),
        ("..g", "http://a/b/c/..g"),
        ("./../g", "http://a/b/g"),
        ("g/./h", "http://a/b/c/g/h"),
        ("g/../h", "http://a/b/c/h"),
        ("g?y/../x", "http://a/b/c/g?y/../x"),
        # §6.2.2 and §6.2.3
        ("HTTP://A:80/b/c/g", "http://a/b/c/g"),
        ("https://a:443", "https://a/"),
        ("http://U@A/", "http://U@a/"),
        ("%7eg%2f", "http://a/b/c/~g%2F"),
        ("%2e%2E/g", "http://a/b/g"),
        # what no URI can hold is written as it would have to be
        ("b k", "http://a/b/c/b%20k"),
        ("김", "http://a/b/c/%EA%B9%80"),
        ("100%", "http://a/b/c/100%25"),
        ("a//b", "http://a/b/c/a//b"),
        ("a\tb", "http://a/b/c/a%09b"),
        ("urn:uuid:A", "urn:uuid:A"),
        ("CID:a%40b", "cid:a@b"),
        ("cid:a@b", "cid:a@b"),
    ],
)
def test_resolved(reference: str, target: str) -> None:
    assert resolved(reference, BASE) == target
    assert resolved(target, BASE) == target


def test_without_a_base() -> None:
    assert resolved("./bulk/../1", "") == "1"
    assert resolved("bulk/1", "") == "bulk/1"


@given(st.text(max_size=40) | st.text("./:?#%[]@ 2eE\ud800é", max_size=40), st.sampled_from(["", BASE, "http://[x"]))
def test_any_text_has_one_form(text: str, base: str) -> None:
    found = resolved(text, base)
    assert found.isascii()
    assert resolved(found, base if not base or found.partition(":")[0].isalpha() else "") == found or not base


@pytest.mark.parametrize(
    ("header", "uri"), [("<a@b>", "cid:a@b"), (" <a%40b> ", "cid:a@b"), ("a@b", "cid:a@b"), ("", "")]
)
def test_content_id(header: str, uri: str) -> None:
    assert content_id_uri(header) == uri


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoorInMemory]:
    with archive_under(tmp_path_factory.mktemp("archive")) as services:
        yield OneDoorInMemory(*services)


def post(door: DoorInMemory, path: str, *parts: tuple[str, bytes]) -> tuple[int, str]:
    body = b"".join(b"--B\r\n" + head.encode() + b"\r\n\r\n" + data + b"\r\n" for head, data in parts)
    answer = door.post(path, body + b"--B--", f'multipart/related; type="{JSON}"; boundary=B')
    return answer.status_code, answer.text


ALIKE = [
    ("./bulk/1", "Content-Location: bulk/1", 200),
    ("bulk/1", "Content-Location: ./bulk/1", 200),
    ("../bulk/1", "Content-Location: http://archive.test/bulk/1", 200),
    ("/dicomweb/bulk/1", "Content-Location: http://archive.test/dicomweb/bulk/1", 200),
    ("http://archive.test/dicomweb/bulk/1", "Content-Location: bulk/1", 200),
    ("http://x/b%20k/1", "Content-Location: http://X:80/b k/1", 200),
    ("bulk/김", "Content-Location: bulk/%EA%B9%80", 200),
    ("cid:a@b", "Content-ID: <a@b>", 200),
    ("cid:a%40b", "Content-ID: <a@b>", 200),
    ("cid:a@b", "Content-ID: <a@b>\r\nContent-Location: elsewhere", 200),
    ("./bulk/1", "Content-Location: bulk/1/frames/1", 200),
    ("cid:a@b", "Content-ID: <A@b>", 400),
    ("bulk/1", "Content-Location: bulk/%31/2", 400),
    ("bulk/1", "Content-Location: bulk//1", 400),
]


@pytest.mark.parametrize(("uri", "header", "status"), ALIKE)
def test_alike(door: DoorInMemory, uri: str, header: str, status: int) -> None:
    uid = generate_uid()
    document = json.dumps(metadata(uid, t7FE00010={"vr": "OW", "BulkDataURI": uri})).encode()
    found, text = post(door, "/studies", (f"Content-Type: {JSON}", document), (header, RAW))
    assert found == status, text


def test_the_base_of_a_study_and_of_the_metadata_itself(door: DoorInMemory) -> None:
    own = "\r\nContent-Location: http://x/y/z"
    for location, expected in (("", "studies/bulk/1"), (own, "http://x/y/bulk/1"), (own, "bulk/1")):
        uid = generate_uid()
        document = json.dumps(metadata(uid, t7FE00010={"vr": "OW", "BulkDataURI": "bulk/1"})).encode()
        bulk = (f"Content-Location: {expected.replace('studies', '/dicomweb/studies')}", RAW)
        status, text = post(door, "/studies/1.2.3", (f"Content-Type: {JSON}{location}", document), bulk)
        assert status == 200, text


def test_a_bulk_part_may_be_json(door: DoorInMemory) -> None:
    """As long as the metadata waits for it, it is no metadata."""
    uid = generate_uid()
    instance = metadata(uid, t7FE00010=None, t00091010={"vr": "UN", "BulkDataURI": "settings"})
    parts = ((f"Content-Type: {JSON}", json.dumps(instance).encode()), ("Content-Type: " + JSON, b""))
    status, text = post(door, "/studies", parts[0], (parts[1][0] + "\r\nContent-Location: settings", b"{}"))
    assert status == 200, text


def test_what_is_missing_is_named_and_not_what_came(door: DoorInMemory) -> None:
    """A part that came, whole, is no reason."""
    uid = generate_uid()
    first, second = {"vr": "OB", "BulkDataURI": "came"}, {"vr": "OB", "BulkDataURI": "missing"}
    document = json.dumps(metadata(uid, t7FE00010=None, t00091010=first, t00091011=second)).encode()
    status, text = post(door, "/studies", (f"Content-Type: {JSON}", document), ("Content-Location: came", b"ab"))
    assert status == 400
    assert "no part came whose" in text
    assert "/missing'" in text
    assert "/came'" not in text
