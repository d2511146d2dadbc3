"""Search parameters as nobody should send them: 400 with the parameter's name, never 500, never SQL in the answer."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydicom.datadict import DicomDictionary, keyword_for_tag
from starlette.types import ASGIApp, Message

from tests.dicomweb.served import DoorInMemory, archive_under, image, mounted

Ask = Callable[[str, bytes], tuple[int, dict[bytes, bytes], bytes]]
SOAK = bool(os.environ.get("PACS_SOAK"))
INTERNALS = re.compile(
    rb"sqlite|sqlalchemy|psycopg|traceback|\bselect\b.*\bfrom\b|no such (table|column)|syntax error|pacs/\w+\.py",
    re.IGNORECASE,
)
PATHS = ("/studies", "/series", "/instances", "/studies/1.2/series", "/studies/1.2/series/1.3/instances")
ANY_BYTES = st.one_of(
    st.binary(max_size=30), st.text(max_size=20).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
KEYWORDS = st.sampled_from(sorted(entry[4] for entry in DicomDictionary.values() if entry[4]))
TAGS = st.integers(0, 0xFFFFFFFF).map("{:08X}".format)
ATTRIBUTES = st.lists(st.one_of(KEYWORDS, TAGS), min_size=1, max_size=9).map(".".join)
_TAG = re.compile("[0-9A-Fa-f]{8}")
NAMES = st.one_of(
    KEYWORDS,
    ATTRIBUTES,
    st.sampled_from(
        ["limit", "offset", "includefield", "fuzzymatching", "emptyvaluematching", "multiplevaluematching"]
    ),
    st.sampled_from(
        ["PatientName", "StudyDate", "StudyTime", "StudyInstanceUID", "ModalitiesInStudy", "PatientBirthDate"]
    ),
    st.sampled_from(["TimezoneOffsetFromUTC", "NumberOfStudyRelatedInstances", "PatientAge", "00081190", "accept"]),
).map(str.encode)
STRANGE = [
    *(b"-", b"--", b"20240101-", b"-20240101", b"20241301", b"00000000-99999999", b"2024-2023", b"1200-1100"),
    *(b"99999999999999999999", b"-1", b"1e9", b"9223372036854775808", b"18446744073709551616", b"0x10"),
    *(b"*" * 1024, b"*?" * 512, b"a*" * 400, b"?" * 2000, b"%", b"_", b"\\", b"'", b'"', b"';--", b"\x00"),
    *(b",".join([b"1.2"] * 10_001), b"\\".join([b"CT"] * 101), b"1." * 40, b"1.2,", b",", b'""', b"all"),
    *(b"\xed\xa0\x80", b"\xc0\xaf", b"\xff", "김".encode() * 400, "İ".encode(), b"+0900", b" 0900", b"-0000"),
    *(b"PatientName," * 300, b"00080005", b"a." * 50, b"application/dicom+json", b"text/html", b"multipart/*"),
]
VALUES = st.one_of(ANY_BYTES, st.sampled_from(STRANGE))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Asks with a query string of any bytes, which no client would send."""
    folder: Path = tmp_path_factory.mktemp("archive")
    with archive_under(folder) as (ingest, search, retrieve):
        door = DoorInMemory(ingest, search, retrieve)
        door.keep(image(StudyInstanceUID="1.2", SeriesInstanceUID="1.3", PatientName="KIM^SU"))
        application = mounted(door.application())
        with asyncio.Runner() as loop:
            yield lambda path, query_string: loop.run(asked(application, path, query_string))


async def asked(application: ASGIApp, path: str, query_string: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
    sent: list[Message] = []
    scope = {
        "type": "http",
        "method": "GET",
        "path": f"/dicomweb{path}",
        "query_string": query_string,
        "root_path": "",
        "scheme": "http",
        "http_version": "1.1",
        "headers": [(b"host", b"archive.test")],
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await application(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], dict(sent[0]["headers"]), body


def encoded(fields: list[tuple[bytes, bytes]], *, as_they_are: bool) -> bytes:
    if as_they_are:
        return b"&".join(name + b"=" + value for name, value in fields)
    return "&".join(f"{quote_from_bytes(name)}={quote_from_bytes(value)}" for name, value in fields).encode()


def shown(name: bytes) -> tuple[str, str]:
    """A parameter's name as an error may write it."""
    decoded = unquote_to_bytes(name.replace(b"+", b" ")).decode("utf-8", "replace")[:60]
    return decoded, repr(decoded)[1:-1]


@settings(max_examples=20_000 if SOAK else 120, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    path=st.sampled_from(PATHS),
    fields=st.lists(st.tuples(NAMES, VALUES), min_size=1, max_size=4),
    as_they_are=st.booleans(),
)
@example(
    path="/studies", fields=[(b"includefield", b",".join(b"Unknown%d" % n for n in range(5000)))], as_they_are=True
)
@example(path="/studies", fields=[(b"offset", b"1000000000"), (b"limit", b"1000000000")], as_they_are=True)
@example(path="/studies", fields=[(b"PatientID", b"1")] * 501, as_they_are=True)
@example(path="/studies", fields=[(b"AITDeviceType.00000000", b"!")], as_they_are=True)
def test_any_parameter_gives_an_answer(
    hostile: Ask, path: str, fields: list[tuple[bytes, bytes]], as_they_are: bool
) -> None:
    query_string = encoded(fields, as_they_are=as_they_are)
    status, headers, body = hostile(path, query_string)
    assert status in (200, 400, 406), body[:500]
    leaked = INTERNALS.search(body)
    # A refused value is told as it came, and a word of the client's own tells it nothing.
    assert leaked is None or leaked[0].lower() in unquote_to_bytes(query_string).lower(), body[:500]
    answer = json.loads(body)
    if status == 200:
        assert isinstance(answer, list)
    else:
        assert set(answer) == {"error", "hint"}
        assert len(body) < 2000
        names = [name for field in query_string.split(b"&") for name in shown(field.partition(b"=")[0])]
        keywords = [_TAG.sub(lambda tag: keyword_for_tag(int(tag[0], 16)) or tag[0], name) for name in names]
        known = ("query string", "UTF-8", "Accept", *names, *keywords)
        assert status == 406 or any(name[:60] in answer["error"] for name in known), (answer, fields)
    assert all(len(value) < 4000 for value in headers.values())
