"""What a search URL may hold: it is answered, or refused with the parameter's name; never 500, never SQL."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pacs.dicomweb.search_parameters import DEFAULT_TAGS
from tests.dicomweb.served import DoorInMemory, archive_under, image

URLS = ("/studies", "/series", "/instances", "/studies/1.2/series", "/studies/1.2/instances")
SQL = ("SELECT", "WHERE ", "LIKE", "GLOB", "sqlite", "psycopg", "Traceback", "studies.")
KEYWORDS = (
    "PatientName",
    "PatientID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ModalitiesInStudy",
    "StudyInstanceUID",
    "SeriesNumber",
    "RequestAttributesSequence.ScheduledProcedureStepID",
    "RequestAttributesSequence",
    "NumberOfStudyRelatedInstances",
    "AcquisitionDateTime",
    "PixelData",
    "00091001",
    "00100010",
    "TimezoneOffsetFromUTC",
    "limit",
    "offset",
    "includefield",
    "fuzzymatching",
    "emptyvaluematching",
    "multiplevaluematching",
)


Door = Callable[[str, bytes], "tuple[int, str]"]


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """Status and text of a GET on an archive with one study; the query string goes in as it is."""
    folder: Path = tmp_path_factory.mktemp("archive")
    with archive_under(folder) as (ingest, search, retrieve), asyncio.Runner() as runner:
        one = DoorInMemory(ingest, search, retrieve)
        one.keep(image(PatientID="1", PatientName="Hong^Gildong", StudyDate="20240101", StudyTime="0800"))
        application = one.application()

        async def get(path: str, query_string: bytes) -> tuple[int, str]:
            sent: list[dict[str, Any]] = []

            async def receive() -> dict[str, Any]:
                return {"type": "http.request", "body": b"", "more_body": False}

            async def send(message: dict[str, Any]) -> None:
                sent.append(message)

            scope = {
                "type": "http",
                "asgi": {"version": "3.0"},
                "http_version": "1.1",
                "method": "GET",
                "scheme": "http",
                "path": path,
                "raw_path": path.encode(),
                "query_string": query_string,
                "root_path": "",
                "headers": [(b"host", b"archive.test")],
                "client": ("127.0.0.1", 1),
                "server": ("127.0.0.1", 80),
            }
            await application(scope, receive, send)
            body = b"".join(message.get("body", b"") for message in sent)
            return int(sent[0]["status"]), body.decode()

        yield lambda path, query_string: runner.run(get(path, query_string))


ANSWERS = (200, 400)


def check(door: Door, path: str, query: str | bytes, names: list[str]) -> int:
    query_string = query if isinstance(query, bytes) else query.encode()
    status, text = door(path, query_string)
    assert status in ANSWERS, (path, query_string[:200], status, text[:200])
    if status == 200:
        found = json.loads(text)
        assert len(found) <= 1, "the archive holds one instance"
        assert all("00080056" in attributes or "0020000D" in attributes for attributes in found)
    else:
        said = json.loads(text)["error"]
        assert len(said) < 1000
        assert not any(word in said for word in SQL), said
        if names:
            assert any(name.split(".")[-1] in said or name[:20] in said for name in names), (names, said)
    return status


HOSTILE = [
    "\0",
    "a\0b",
    "x" * 1025,
    "x" * 1_000_000,
    "*" * 100_000,
    "?" * 1000,
    "*a" * 500,
    "%" * 300,
    "' OR 1=1 --",
    '"; DROP TABLE studies; --',
    "\\",
    "\\" * 500,
    "," * 500,
    "=" * 10,
    "^" * 100,
    "-",
    "--",
    "20240101-20240101-20240101",
    "99999999999999999999999999",
    "1e999999999",
    "NaN",
    "-0",
    "[a-z]",
    "\U0010ffff",
    "\u202e\u0301" * 50,
    "가" * 1000,
    '""',
    "../../etc/passwd",
    "<script>",
    "${jndi:ldap://x}",
    "\r\nSet-Cookie: a=b",
]


@pytest.mark.parametrize("name", KEYWORDS)
def test_hostile_values(door: Door, name: str) -> None:
    for value in HOSTILE:
        for more in ("", "&fuzzymatching=true&emptyvaluematching=true&multiplevaluematching=true"):
            if more and name not in KEYWORDS[:6]:
                continue
            asked = [name, "includefield"] if name == "includefield" else [name]
            keyword = {"00100010": "PatientName"}.get(name, name)
            assert check(door, "/studies", f"{name}={quote(value)}{more}", [*asked, keyword]) in ANSWERS


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("PatientName=%ED%A0%80", "PatientName"),
        ("PatientName=%00", "PatientName"),
        ("PatientID=%FF%FE", "PatientID"),
        ("PatientID=%zz", None),
        ("PatientID=%", None),
        ("%00=1", "x00"),
        ("PatientNmae=1", "PatientNmae"),
        ("0010001=1", "0010001"),
        ("00100010.=1", "00100010."),
        (".PatientName=1", ".PatientName"),
        ("GGGGEEEE=1", "GGGGEEEE"),
        ("PatientName.PatientID=1", None),
        (".".join(["RequestAttributesSequence"] * 9) + "=1", "RequestAttributesSequence"),
        ("limit=-1", "limit"),
        ("limit=1&limit=2", "limit"),
        ("offset=1e3", "offset"),
        ("offset=٣", "offset"),
        ("fuzzymatching=maybe", "fuzzymatching"),
        ("fuzzymatching=true&fuzzymatching=false", "fuzzymatching"),
        ("includefield=PatientNmae", None),
        ("includefield=all,all,,all", None),
        ("PatientID=1&PatientID=2", None),
        ("&".join(["PatientID=1"] * 501), "parameters"),
        ("&".join(["PatientID=1"] * 500), None),
        ("&" * 10_000, None),
        ("=" * 1000, "''"),
        ("StudyInstanceUID=" + ",".join(["1.2.3"] * 10_000), None),
        ("StudyInstanceUID=" + ",".join(["1.2.3"] * 10_001), "StudyInstanceUID"),
        ("ModalitiesInStudy=" + ",".join(["CT"] * 101), "ModalitiesInStudy"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_hostile_parameters(door: Door, query: str, named: str | None) -> None:
    for url in URLS[:3]:
        status = check(door, url, query, [named] if named else [])
        assert status == (400 if named else 200), (url, query[:80])


_NAMES = st.one_of(st.sampled_from(KEYWORDS), st.sampled_from(KEYWORDS), st.text(max_size=12))
_VALUES = st.one_of(st.text(max_size=20), st.text("*?^=-\\,.\"'%_[]0123456789+ \0가é", max_size=24))


@given(st.sampled_from(URLS), st.lists(st.tuples(_NAMES, _VALUES), max_size=4))
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_parameters(door: Door, url: str, parameters: list[tuple[str, str]]) -> None:
    assert check(door, url, urlencode(parameters, errors="replace"), []) in ANSWERS


@given(st.sampled_from(URLS), st.binary(max_size=40))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes(door: Door, url: str, query: bytes) -> None:
    assert check(door, url, query, []) in ANSWERS
    assert check(door, url, quote(query, safe="%&=+*?.-"), []) in ANSWERS


@given(
    st.sampled_from(URLS),
    st.lists(st.sampled_from(sorted(f"{tag:08X}" for tags in DEFAULT_TAGS.values() for tag in tags)), min_size=1),
    _VALUES,
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_of_any_attribute(door: Door, url: str, tags: list[str], value: str) -> None:
    assert check(door, url, urlencode([(tag, value) for tag in tags]), []) in ANSWERS
