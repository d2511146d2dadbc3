"""What is not answered as asked says what was wrong and what to do: a table of every status, a sweep of routes."""

from __future__ import annotations

import io
import json
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from resource import RLIMIT_FSIZE, prlimit
from typing import Any

import httpx
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from tests.running_archive import RunningArchive
from tests.worklist.workitems import workitem

CT = Path(str(get_testdata_file("CT_small.dcm"))).read_bytes()
STUDY = "/studies/1.3.6.1.4.1.5962.1.2.1.20040119072730.12322"
SERIES = STUDY + "/series/1.3.6.1.4.1.5962.1.3.1.1.20040119072730.12322"
INSTANCE = SERIES + "/instances/1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322"
FRAME = INSTANCE + "/frames/1"
STORE = {"Content-Type": "application/dicom"}
NO_SUCH = "/studies/1.2.3"
DELETED, ERASED, DAMAGED = (f"/studies/1.2.410.{number}" for number in (1, 2, 3))
LOCKED, FULL = ("/workitems/1.2.840.10008.5.1.4.34.5/subscribers/" + name for name in ("FIRST", "SECOND"))
WORKITEM = {"Content-Type": "application/dicom+json"}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningArchive]:
    limit = str(1 << 20)
    with RunningArchive(
        tmp_path_factory.mktemp("failures") / "data",
        PACS_INGEST__MAX_INSTANCE_BYTES=limit,
        PACS_HTTP__DELETE="true",
        PACS_HTTP__WORKERS="1",
        PACS_LIFECYCLE__SETTLE_AFTER_S="3600",
        PACS_WORKLIST__MAX_SUBSCRIBERS="1",
    ) as running:
        for content in (CT, *(of_study(path) for path in (DELETED, ERASED, DAMAGED))):
            assert httpx.post(f"{running.dicomweb}/studies", content=content, headers=STORE).status_code == 200
        names = [
            httpx.delete(running.dicomweb + path, params={"reason": "test"}).json()["deletion"]
            for path in (DELETED, ERASED)
        ]
        erased = running.run("trash", "erase", names[1], "--now")
        assert erased.returncode == 0, erased.stderr
        damage(running.data, of_study(DAMAGED))
        assert httpx.post(running.dicomweb + LOCKED).status_code == 201
        created = httpx.post(
            f"{running.dicomweb}/workitems?1.2.409", content=json.dumps(workitem()).encode(), headers=WORKITEM
        )
        assert created.status_code == 201, created.text
        yield running


def of_study(path: str) -> bytes:
    uid = path.rpartition("/")[2]
    return changed(StudyInstanceUID=uid, SeriesInstanceUID=f"{uid}.1", SOPInstanceUID=f"{uid}.1.1", PatientID=uid)


def damage(data: Path, instance: bytes) -> None:
    """Change a bit of where it is stored."""
    pixels, found = instance[-1000:-500], 0
    uid = dcmread(io.BytesIO(instance)).SOPInstanceUID.encode()
    for path in (data / "objects").rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        at = content.find(pixels, content.find(uid)) if uid in content else -1
        if at >= 0:
            with path.open("r+b") as file:
                file.seek(at)
                file.write(bytes([pixels[0] ^ 1]))
            found += 1
    assert found == 1


def changed(**attributes: object) -> bytes:
    data_set = dcmread(io.BytesIO(CT))
    for name, value in attributes.items():
        setattr(data_set, name, value)
    data_set.file_meta.MediaStorageSOPInstanceUID = data_set.SOPInstanceUID
    stream = io.BytesIO()
    data_set.save_as(stream)
    return stream.getvalue()


@dataclass(frozen=True)
class Case:
    status: int
    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    has: tuple[str, ...] = ()
    """Header fields that the answer must have."""


TABLE = [
    Case(206, "GET", FRAME, {"Range": "bytes=0-9"}, has=("content-range",)),
    Case(206, "GET", INSTANCE, {"Range": "bytes=-10", "Accept": "application/dicom"}, has=("content-range",)),
    Case(400, "GET", "/studies/not-a-uid"),
    Case(400, "GET", "/studies?NoSuchAttribute=1"),
    Case(400, "GET", "/studies?limit=many"),
    Case(400, "GET", INSTANCE + "/frames/0"),
    Case(400, "GET", INSTANCE + "/frames/one"),
    Case(400, "GET", INSTANCE + "/rendered?viewport=nothing"),
    Case(400, "GET", INSTANCE + "/bulkdata/nothing"),
    Case(400, "POST", "/studies", {"Content-Type": "multipart/related; type=application/dicom"}, b"x"),
    Case(404, "GET", "/made/up"),
    Case(404, "GET", NO_SUCH),
    Case(404, "GET", NO_SUCH + "/metadata"),
    Case(404, "GET", NO_SUCH + "/thumbnail"),
    Case(404, "GET", INSTANCE + "/frames/2"),
    Case(404, "GET", INSTANCE + "/versions/2"),
    Case(405, "PUT", "/studies", has=("allow",)),
    Case(405, "POST", FRAME, has=("allow",)),
    Case(405, "PATCH", INSTANCE + "/rendered", has=("allow",)),
    Case(406, "GET", "/studies", {"Accept": "text/html"}),
    Case(406, "GET", FRAME, {"Accept": "application/pdf"}),
    Case(406, "GET", INSTANCE + "/rendered", {"Accept": "text/plain"}),
    Case(406, "GET", STUDY + "/metadata", {"Accept": "image/png"}),
    Case(406, "GET", INSTANCE, {"Accept": "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.999"}),
    Case(412, "GET", FRAME, {"If-Match": '"another"'}),
    Case(412, "GET", STUDY + "/metadata", {"If-Match": '"another"'}),
    Case(415, "POST", "/studies", {"Content-Type": "text/plain"}, b"x"),
    Case(415, "POST", "/studies", {**STORE, "Content-Encoding": "br"}, b"x", has=("accept-encoding",)),
    Case(416, "GET", FRAME, {"Range": "bytes=99999999-"}, has=("content-range",)),
    Case(421, "GET", "/studies", {"Host": "evil.example"}),
    Case(403, "POST", "/studies", {**STORE, "Origin": "http://evil.example"}, b"x"),
    Case(409, "POST", "/workitems?1.2.409", WORKITEM, json.dumps(workitem()).encode()),
    Case(410, "GET", DELETED),
    Case(410, "GET", DELETED + "/metadata"),
    Case(410, "GET", DELETED + "/thumbnail"),
    Case(410, "GET", ERASED),
    Case(410, "GET", f"{ERASED}/series/1.2.410.2.1/metadata"),
    Case(410, "GET", f"{ERASED}/series/1.2.410.2.1/instances/1.2.410.2.1.1/frames/1"),
    Case(404, "DELETE", ERASED + "?reason=again"),
    Case(413, "DELETE", STUDY, body=b'{"reason": "' + b"x" * 9000 + b'"}'),
    Case(413, "POST", "/workitems", WORKITEM, b"[" + b" " * (1 << 20) + b"]"),
    Case(415, "DELETE", STUDY, {"Content-Type": "text/plain"}, b"why"),
    Case(415, "POST", "/workitems", {"Content-Type": "text/plain"}, b"x"),
    Case(500, "GET", f"{DAMAGED}/series/1.2.410.3.1/instances/1.2.410.3.1.1", {"Accept": "application/dicom"}),
    Case(503, "POST", FULL, has=("retry-after",)),
]
ANSWERED = [
    Case(200, "GET", "/studies"),
    Case(201, "POST", LOCKED),
    Case(204, "GET", "/studies?PatientID=nobody", {"Accept": 'multipart/related; type="application/dicom+xml"'}),
    Case(204, "OPTIONS", STUDY),
]
TOLD_BELOW = {202, 304, 414, 431, 507}
"""By tests of their own."""
BEFORE_ANY_ROUTE = {405, 414, 421, 431}


@pytest.fixture(scope="module")
def documented(archive: RunningArchive) -> dict[str, dict[str, set[int]]]:
    """Statuses by path template and method, as the running archive tells them."""
    resources = httpx.get(f"{archive.dicomweb}/conformance").json()["resources"]
    return {one["path"]: {each["method"]: set(each["statuses"]) for each in one["transactions"]} for one in resources}


def statuses_of(documented: dict[str, dict[str, set[int]]], method: str, path: str) -> set[int] | None:
    """None of what is no transaction."""
    for template, methods in documented.items():
        pattern = re.sub(r"\{(\w+)\}", lambda name: ".+" if name[1] == "path" else "[^/]+", template)
        if re.fullmatch(pattern, path.partition("?")[0]) and method in methods:
            return methods[method]
    return None


def test_every_status_is_documented_and_every_documented_one_produced(documented: Any) -> None:
    page = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text(encoding="utf-8")
    table = page.partition("| HTTP status | when (PS3.18 §8.5) |")[2].partition("\n\n")[0]
    written = {int(status) for status in re.findall(r"^\| (\d{3}) \|", table, re.MULTILINE)}
    assert written == {case.status for case in (*TABLE, *ANSWERED)} | TOLD_BELOW
    told = set().union(*(statuses for methods in documented.values() for statuses in methods.values()))
    assert written - BEFORE_ANY_ROUTE == told


@pytest.mark.parametrize("case", [*TABLE, *ANSWERED], ids=lambda case: f"{case.status} {case.method} {case.path[-30:]}")
def test_each_status(archive: RunningArchive, documented: Any, case: Case) -> None:
    answer = httpx.request(case.method, archive.dicomweb + case.path, headers=case.headers, content=case.body)
    assert answer.status_code == case.status
    told = statuses_of(documented, case.method, case.path)
    assert told is None or case.status in told | BEFORE_ANY_ROUTE
    for name in (*case.has, "server-timing", "x-content-type-options"):
        assert name in answer.headers
    if case.status >= 400:
        require_helpful(answer)
    if case.method == "GET":
        head = httpx.head(archive.dicomweb + case.path, headers=case.headers)
        if case.status not in (206, 416):  # a range is for GET (RFC 9110 §14.2)
            assert (head.status_code, head.content) == (case.status, b"")


def require_helpful(answer: httpx.Response) -> None:
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers.get("cache-control", "no-store") == "no-store"
    said = answer.json()
    assert set(said) == {"error", "hint"}
    assert all(isinstance(text, str) and 10 < len(text) < 2000 for text in said.values())
    assert not re.search(r"Traceback|File \"|/tmp|site-packages|sqlalchemy", answer.text)


@pytest.mark.parametrize(
    ("status", "path", "body"),
    [
        (409, "/studies", changed(PatientComments="other bytes")),
        (409, "/studies/1.2.3", CT),
        (413, "/studies", changed(ImageComments="x", PixelData=bytes(2 << 20))),
        (400, "/studies", b"no DICOM at all" * 100),
    ],
)
def test_what_was_not_stored_is_told_in_the_standards_own_form(
    archive: RunningArchive, status: int, path: str, body: bytes
) -> None:
    answer = httpx.post(archive.dicomweb + path, content=body, headers=STORE)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/dicom+json"
    assert "00081198" in answer.json() or "0008119A" in answer.json()


def test_what_the_client_has_is_not_sent_again(archive: RunningArchive) -> None:
    for path in (FRAME, INSTANCE, SERIES + "/metadata", INSTANCE + "/thumbnail", INSTANCE + "/rendered"):
        first = httpx.get(archive.dicomweb + path)
        assert first.status_code == 200, first.text
        tag = first.headers["etag"]
        answer = httpx.get(archive.dicomweb + path, headers={"If-None-Match": tag})
        assert (answer.status_code, answer.content) == (304, b""), path
        assert answer.headers["etag"] == tag
        assert "server-timing" in answer.headers


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 140_000, 431),
        (b"GET /?" + b"y" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
    ],
)
def test_a_head_without_measure(archive: RunningArchive, sent: bytes, status: int) -> None:
    with socket.create_connection(("127.0.0.1", archive.http_port), timeout=20) as peer:
        peer.sendall(sent)
        received = b""
        while part := peer.recv(65536):
            received += part
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status}".encode())
    assert b"application/json" in head
    assert b'"hint"' in body


def test_what_the_archive_says_it_can_is_what_its_conformance_statement_says(archive: RunningArchive) -> None:
    resources = httpx.get(f"{archive.dicomweb}/conformance").json()["resources"]
    told = {f"{each['method']} {one['path']}" for one in resources for each in one["transactions"]}
    page = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text(encoding="utf-8")
    written = re.findall(r"^\| `((?:GET|POST|DELETE|PUT) [^`]+)` \|", page.partition("## DICOMweb")[2], re.MULTILINE)
    assert told == set(written)


def test_no_room(archive: RunningArchive) -> None:
    web = archive.pid_of("web-1")
    limits = prlimit(web, RLIMIT_FSIZE)
    prlimit(web, RLIMIT_FSIZE, (1, limits[1]))
    try:
        answer = httpx.post(f"{archive.dicomweb}/studies", content=of_study("/studies/1.2.507"), headers=STORE)
    finally:
        prlimit(web, RLIMIT_FSIZE, limits)
    assert answer.status_code == 507, answer.text
    assert httpx.get(f"{archive.dicomweb}/studies/1.2.507").status_code == 404
    again = httpx.post(f"{archive.dicomweb}/studies", content=of_study("/studies/1.2.507"), headers=STORE)
    assert again.status_code == 200, again.text


def test_some_of_it_was_stored(archive: RunningArchive) -> None:
    parts = b"".join(
        b"--B\r\nContent-Type: application/dicom\r\n\r\n" + content + b"\r\n" for content in (CT, b"no DICOM" * 100)
    )
    headers = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=B'}
    answer = httpx.post(f"{archive.dicomweb}/studies", content=parts + b"--B--\r\n", headers=headers)
    assert answer.status_code == 202
    assert {"00081199"} < set(answer.json())


def test_every_route_fails_in_words(archive: RunningArchive, documented: Any) -> None:
    """All that the service says it has, with UIDs that are none, that nobody has, and what nobody can make."""
    resources = httpx.get(f"{archive.dicomweb}/conformance").json()["resources"]
    assert len(resources) > 20
    with httpx.Client(base_url=archive.dicomweb, timeout=30) as client:
        for resource in resources:
            for method in ("PUT", "DELETE", "POST"):
                path = re.sub(r"\{\w+\}", "1.2.3", resource["path"])
                answer = client.request(method, path)
                if answer.status_code != 405:
                    assert answer.status_code in (statuses_of(documented, method, path) or ()), (method, path)
                assert (answer.status_code == 405) is (method not in resource["methods"]), (method, resource["path"])
            for word in ("1.2.3", "none", "%00", "9" * 70, "1..2"):
                path = re.sub(r"\{\w+\}", word, resource["path"])
                for method, accept in (
                    ("GET", "*/*"),
                    ("GET", "x/y"),
                    ("PATCH", "*/*"),
                    ("GET", "no media type at all,"),
                ):
                    answer = client.request(method, path, headers={"Accept": accept})
                    assert answer.status_code < 500, (method, path, accept)
                    told = statuses_of(documented, method, path)
                    assert told is None or answer.status_code in told, (method, path, accept)
                    if answer.status_code >= 400:
                        require_helpful(answer)
                    if method == "PATCH":
                        assert answer.status_code == 405, (path, answer.text)
                        assert "PATCH" not in answer.headers["allow"]
