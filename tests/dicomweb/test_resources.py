"""URLs: UIDs, frame lists, bulk data paths, and the base they are built on."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs.dicomweb.resources import (
    MAX_FRAMES_PER_REQUEST,
    ResourceKey,
    bulk_data_path,
    frame_numbers,
    service_base,
)
from pacs.errors import InvalidIdentity, InvalidRequest


def test_keys_and_their_paths() -> None:
    assert ResourceKey.of({"study": "1.2"}).path == "/studies/1.2"
    key = ResourceKey.of({"study": "1.2", "series": "1.3", "instance": "1.4"})
    assert key == ResourceKey("1.2", "1.3", "1.4")
    assert key.path == "/studies/1.2/series/1.3/instances/1.4"


@pytest.mark.parametrize("uid", ["", "..", "../etc", "1.2/3", "a", "1..2", "1" * 65, "1.2\n", "१.२"])
@pytest.mark.parametrize("name", ["study", "series", "instance"])
def test_what_is_no_uid_is_refused(name: str, uid: str) -> None:
    with pytest.raises(InvalidIdentity, match=name):
        ResourceKey.of({"study": "1", "series": "2", "instance": "3", name: uid})


def test_frame_lists() -> None:
    assert frame_numbers("1") == (1,)
    assert frame_numbers("3,1,2,1") == (3, 1, 2, 1)


@pytest.mark.parametrize(
    "text",
    ["", "0", "1,0", "1,,2", "1,", "-1", "1-3", "a", "1 ", "१", "1\n", "9" * 10, "1," * MAX_FRAMES_PER_REQUEST + "1"],
)
def test_bad_frame_lists(text: str) -> None:
    with pytest.raises(InvalidRequest):
        frame_numbers(text)


@given(st.text(max_size=40))
def test_any_frame_list_gives_numbers_or_an_invalid_request(text: str) -> None:
    with contextlib.suppress(InvalidRequest):
        assert all(number > 0 for number in frame_numbers(text))


def test_bulk_data_paths() -> None:
    assert bulk_data_path("7fe00010") == "7FE00010"
    assert bulk_data_path("00400275/1/00091010") == "00400275/1/00091010"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7fe0001",
        "7fe00010/",
        "7fe00010/1",
        "7fe00010/../1",
        "/7fe00010",
        "00400275/1/00091010\n",
        "00400275/1/" * 70 + "00091010",
    ],
)
def test_bad_bulk_data_paths(text: str) -> None:
    with pytest.raises(InvalidRequest):
        bulk_data_path(text)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (b"archive.example:8080", "http://archive.example:8080/dicomweb"),
        (b"[::1]:80", "http://[::1]:80/dicomweb"),
        (b"archive.example", "http://archive.example/dicomweb"),
        (b"127.0.0.1", "http://127.0.0.1:9/dicomweb"),
        (b"127.0.0.1:10", "http://127.0.0.1:10/dicomweb"),
        (b"localhost", "http://localhost:9/dicomweb"),
        (b"evil/path", "http://127.0.0.1:9/dicomweb"),
        (b"a\r\nx: y", "http://127.0.0.1:9/dicomweb"),
        (b"", "http://127.0.0.1:9/dicomweb"),
    ],
)
def test_the_base_is_the_host_the_client_used_when_it_can_be_one(host: bytes, expected: str) -> None:
    scope = {"scheme": "http", "headers": [(b"host", host)], "server": ("127.0.0.1", 9), "root_path": "/dicomweb"}
    assert service_base(scope) == expected


def test_the_base_without_a_host_header() -> None:
    scope = {"scheme": "https", "headers": [], "server": ("::1", 443)}
    assert service_base(scope) == "https://[::1]"
    assert service_base({"headers": [], "server": None}) == "http://localhost"


def test_the_base_is_where_everybody_reaches_the_door() -> None:
    url = "https://images.hospital.example/pacs/dicomweb"
    scope = {"scheme": "http", "headers": [(b"host", b"10.0.0.5:8080")], "root_path": "/dicomweb", "public_url": url}
    assert service_base(scope) == url
