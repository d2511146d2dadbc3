"""multipart/related: round trip at every cut, limits, and broken bodies."""

from __future__ import annotations

import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs.dicomweb import multipart
from pacs.dicomweb.multipart import (
    MultipartReader,
    Part,
    PartBegins,
    PartData,
    PartEnds,
    derived_boundary,
    encoded,
    encoded_length,
)
from pacs.errors import ProtocolViolation

Parts = list[tuple[dict[str, str], bytes]]


def read(body: bytes, boundary: str, *, step: int = 1 << 20, max_parts: int = 1000) -> Parts:
    reader = MultipartReader(boundary, max_parts=max_parts)
    parts: Parts = []
    open_part: tuple[dict[str, str], bytearray] | None = None
    for start in range(0, len(body), step):
        for event in reader.feed(body[start : start + step]):
            match event:
                case PartBegins(headers):
                    assert open_part is None
                    open_part = (dict(headers), bytearray())
                case PartData(data):
                    assert open_part is not None
                    assert data
                    open_part[1].extend(data)
                case PartEnds():
                    assert open_part is not None
                    parts.append((open_part[0], bytes(open_part[1])))
                    open_part = None
    reader.close()
    return parts


def write(boundary: str, parts: list[Part]) -> bytes:
    return b"".join(encoded(boundary, parts))


@given(
    st.lists(st.binary(max_size=60) | st.sampled_from([b"\r\n--b", b"\r\n--", b"\r\n--bb\r\n", b"\r", b"--b--"])),
    st.integers(1, 40),
)
def test_what_is_written_is_read_at_every_cut(bodies: list[bytes], step: int) -> None:
    boundary = "b" * 30
    parts = [Part("application/dicom", (body[:3], memoryview(body)[3:])) for body in bodies]
    body = write(boundary, parts)
    assert len(body) == encoded_length(boundary, parts)
    if not bodies:
        return
    assert read(body, boundary, step=step) == [
        ({"content-type": "application/dicom", "content-length": str(len(data))}, data) for data in bodies
    ]


@given(st.binary(max_size=300), st.integers(1, 50))
def test_any_bytes_give_parts_or_a_violation(noise: bytes, step: int) -> None:
    whole = b"--b\r\n\r\n" + noise + b"\r\n--b--"
    for body in (noise, b"--b\r\n" + noise, b"--b\r\n\r\n" + noise, whole):
        try:
            parts = read(body, "b", step=step)
        except ProtocolViolation:
            assert body is not whole or b"--b" in noise
            continue
        position = 0
        for _, data in parts:  # nothing is given that was not sent, and nothing twice
            position = body.index(data, position) + len(data)
        assert body is not whole or b"--b" in noise or parts == [({}, noise)]


@given(
    st.lists(st.sampled_from([b"\r\n", b"--", b"b", b" ", b"\t", b"x", b"\r", b"\n", b":"]), max_size=40),
    st.integers(1, 7),
)
def test_the_cut_never_changes_what_is_read(pieces: list[bytes], step: int) -> None:
    def outcome(step: int) -> Parts | str:
        try:
            return read(b"--b\r\n\r\n" + b"".join(pieces) + b"\r\n--b--", "b", step=step)
        except ProtocolViolation as violation:
            return str(violation)

    assert outcome(step) == outcome(1 << 20)


def test_the_standard_library_reads_what_is_written() -> None:
    body = write(
        "bound", [Part("image/jls; transfer-syntax=1.2", (b"ab", b"\r\nc"), location="http://h/1"), Part("a/b", (b"",))]
    )
    message = email.message_from_bytes(
        b'Content-Type: multipart/related; boundary="bound"\r\n\r\n' + body, policy=email.policy.HTTP
    )
    first, second = message.get_payload()
    assert first["Content-Location"] == "http://h/1"
    assert (first["Content-Length"], second["Content-Length"]) == ("5", "0")
    assert first.get_payload(decode=True) == b"ab\r\nc"
    assert second.get_payload(decode=True) == b""


def test_preamble_padding_folding_and_epilogue() -> None:
    body = b"hello\r\n--x \t\r\nContent-Type: application/dicom;\r\n  note=1\r\nX:y\r\n\r\nDATA\r\n--x--\r\nbye"
    assert read(body, "x") == [({"content-type": "application/dicom; note=1", "x": "y"}, b"DATA")]


def test_a_longer_boundary_inside_a_part_is_data() -> None:
    assert read(b"--x\r\n\r\nA\r\n--xy\r\nB\r\n--x--", "x", step=3) == [({}, b"A\r\n--xy\r\nB")]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "no multipart delimiter"),
        (b"nothing here", "no multipart delimiter"),
        (b"--x\nContent-Type: a/b\n\nDATA\n--x--\n", "lines end with CR LF"),
        (b"--x\r\nContent-Type: a/b\r\n\r\nDATA", "cut off"),
        (b"--x\r\nContent-Type: a/b\r\n", "cut off"),
        (b"--x\r\nno colon\r\n\r\nDATA\r\n--x--", "not name: value"),
        (b"--x\r\n: empty\r\n\r\nDATA\r\n--x--", "not name: value"),
        (b"--x\r\n" + b"a" * 20_000, "larger than"),
        (b"a" * 70_000, "No multipart delimiter in the first"),
        (b"--x\r\n\r\n\r\n" * 11 + b"--x--", "more than 10 parts"),
    ],
)
def test_broken_bodies_say_why(body: bytes, reason: str) -> None:
    with pytest.raises(ProtocolViolation, match=reason):
        read(body, "x", max_parts=10)


@pytest.mark.parametrize("boundary", ["", "a" * 71, "a\r\nb", "a b ", "ü"])
def test_bad_boundaries_are_refused(boundary: str) -> None:
    with pytest.raises(ProtocolViolation, match="boundary"):
        MultipartReader(boundary)


def test_memory_stays_bounded_while_a_part_streams() -> None:
    reader = MultipartReader("x" * 70)
    list(reader.feed(b"--" + b"x" * 70 + b"\r\n\r\n"))
    for _ in range(50):
        assert sum(len(event.data) for event in reader.feed(b"\r\n--x" * 1000) if isinstance(event, PartData)) > 0
        assert len(reader._buffer) < 200


def test_boundaries_are_stable_and_differ() -> None:
    assert derived_boundary("a", "b") == derived_boundary("a", "b") != derived_boundary("a", "c")
    assert multipart._BOUNDARY.match(derived_boundary("a"))


def test_a_body_that_is_gone_through_once_has_the_length_that_is_said_of_it_or_none() -> None:
    said = write("b", [Part("a/b", iter([b"abc"]), length=3)])
    assert b"Content-Length: 3\r\n" in said
    assert b"Content-Length" not in write("b", [Part("a/b", iter([b"abc"]))])
    assert encoded_length("b", [Part("a/b", [b"abc"])]) == len(said)
