"""Each status that a route says it gives has been seen from it, or has a reason why not here; no other one was seen."""

from __future__ import annotations

import itertools
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydicom.uid import generate_uid

from tests.integration.test_failures import (
    CT,
    DAMAGED,
    DELETED,
    ERASED,
    INSTANCE,
    STORE,
    WORKITEM,
    archive,
    changed,
    documented,
    statuses_of,
)
from tests.running_archive import RunningArchive
from tests.worklist.workitems import workitem

__all__ = ["archive", "documented"]
Told = dict[str, dict[str, set[int]]]
LIVE = dict(zip(("study", "series", "instance"), INSTANCE.split("/")[2::2], strict=True))


def _below(path: str) -> dict[str, str]:
    uid = path.rpartition("/")[2]
    return {"study": uid, "series": f"{uid}.1", "instance": f"{uid}.1.1"}


SUBJECTS = [LIVE, *map(_below, (DELETED, ERASED, DAMAGED, "/1.2.3", "/no-uid"))]
OTHER_NAMES = {
    "frame": ["1", "9", "x"],
    "frames": ["1", "9", "x"],
    "path": ["7FE00010", "nothing"],
    "number": ["1", "9", "x"],
    "deletion": ["0" * 32, "x"],
    "workitem": ["1.2.409", "1.2.3", "x"],
    "aetitle": ["FIRST", "SECOND", "x" * 20],
}
XML = 'multipart/related; type="application/dicom+xml"'
EVIL = {"Origin": "http://evil.example"}
READ = [
    ({}, ""),
    ({"Accept": "x/y"}, ""),
    ({"If-Match": '"x"'}, ""),
    ({"Accept": XML}, "?PatientID=nobody"),
    ({}, "?PatientID=nobody"),
    ({}, "?viewport=0"),
    ({}, "?limit=x"),
    ({"Range": "bytes=0-3", "Accept": "application/octet-stream"}, ""),
    ({"Range": "bytes=99999999-", "Accept": "application/octet-stream"}, ""),
    ({"Range": "bytes=0-3"}, ""),
    ({"Range": "bytes=99999999-"}, ""),
    ({"Range": "bytes=0-3", "Accept": "application/dicom"}, ""),
    ({"Range": "bytes=99999999-", "Accept": "application/dicom"}, ""),
    ({}, "?no-such-parameter=1"),
]
CHANGED = [
    ({}, b""),
    ({"Content-Type": "text/plain"}, b"why"),
    ({}, b"x" * 9000),
    ({**WORKITEM}, b"[" + b" " * (1 << 20) + b"]"),
    (STORE, b"x" * 200),
    (EVIL, b""),
]
"""None of it changes anything."""


def _paths(template: str) -> Iterator[str]:
    names = re.findall(r"\{(\w+)\}", template)
    others = [name for name in names if name not in LIVE]
    for subject in SUBJECTS if set(names) & LIVE.keys() else SUBJECTS[:1]:
        for chosen in itertools.product(*(OTHER_NAMES[name][: 3 if subject is LIVE else 1] for name in others)):
            yield template.format(**subject, **dict(zip(others, chosen, strict=True)))


class Watched:
    """A client that remembers which status came from which route."""

    def __init__(self, client: httpx.Client, told: Told) -> None:
        self._client = client
        self._told = told
        self.seen: defaultdict[tuple[str, str], set[int]] = defaultdict(set)

    def ask(
        self, template: str, method: str, path: str, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> httpx.Response:
        answer = self._client.request(method, path, headers=headers, content=body)
        self.seen[template, method].add(answer.status_code)
        return answer

    def __call__(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes | None = None) -> Any:
        (template,) = [
            each
            for each, methods in self._told.items()
            if method in methods and statuses_of({each: methods}, method, path) is not None
        ]
        return self.ask(template, method, path, headers, body)


def sweep(client: Watched, told: Told) -> None:
    """Every route with names that are there, were there, are damaged, never were, and are none."""
    for template, methods in told.items():
        for method, path in itertools.product(methods, _paths(template)):
            if method == "GET":
                tag = client.ask(template, method, path).headers.get("etag", '"none"')
                client.ask(template, method, path, {"If-None-Match": tag})
                is_there = "{study}" not in template or LIVE["study"] in path
                for headers, query in READ if is_there else READ[:2]:
                    client.ask(template, method, path + query, headers)
            else:
                for headers, body in CHANGED:
                    client.ask(template, method, path, headers, body)


def store_and_delete(client: Watched) -> None:
    """What changes images."""
    uid = "1.2.410.9"
    study, series, instance = (f"/studies/{uid}", f"/series/{uid}.1", f"/instances/{uid}.1.1")
    of_it = {"StudyInstanceUID": uid, "SeriesInstanceUID": f"{uid}.1", "SOPInstanceUID": f"{uid}.1.1"}
    kept, other = changed(**of_it), changed(**of_it, PatientComments="other bytes")
    parts = b"".join(
        b"--B\r\nContent-Type: application/dicom\r\n\r\n" + content + b"\r\n" for content in (kept, b"no DICOM" * 100)
    )
    multipart = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=B'}
    for path in ("/studies", study):
        assert client("POST", path, STORE, kept).status_code == 200
        assert client("POST", path, STORE, other).status_code == 409
        assert client("POST", path, multipart, parts + b"--B--\r\n").status_code == 202
        assert client("POST", path, STORE, changed(PixelData=bytes(2 << 20))).status_code == 413
    for path in (study + series + instance, study + series, study):
        name = client("DELETE", path + "?reason=test").json()["deletion"]
        client("GET", f"/trash/{name}")
        assert client("DELETE", path + "?reason=test").status_code == 404
        assert client("POST", f"/trash/{name}/restore").status_code == 200
        assert client("POST", f"/trash/{name}/restore").status_code == 409
    tag = client("GET", WADO).headers["etag"]
    conditions = ({"If-None-Match": tag}, {"If-Match": '"x"'})
    for headers in (*conditions, {"Range": "bytes=0-3"}, {"Range": "bytes=99999999-"}):
        client("GET", WADO, headers)
    for subject in SUBJECTS:
        client("GET", _wado(**subject))
    client("GET", WADO.replace("application/dicom", "text/html"))


def _wado(study: str, series: str, instance: str) -> str:
    return (
        f"/wado?requestType=WADO&studyUID={study}&seriesUID={series}&objectUID={instance}&contentType=application/dicom"
    )


WADO = _wado(**LIVE)


def work(client: Watched) -> None:
    """What changes workitems."""
    uid, transaction = str(generate_uid()), str(generate_uid())
    state = {"00741000": {"vr": "CS", "Value": ["IN PROGRESS"]}, "00081195": {"vr": "UI", "Value": [transaction]}}
    claim = json.dumps([state]).encode()
    item = f"/workitems/{uid}"
    create = json.dumps(workitem()).encode()
    assert client("POST", f"/workitems?{uid}", WORKITEM, create).status_code == 201
    assert client("POST", f"/workitems?{uid}", WORKITEM, create).status_code == 409
    assert client("GET", "/workitems").status_code == 200
    comment = json.dumps([{"00741204": {"vr": "LO", "Value": ["label"]}}]).encode()
    assert client("POST", item, WORKITEM, comment).status_code == 200
    unclaimed = client("POST", f"{item}?transaction-uid={transaction}", WORKITEM, comment)
    assert unclaimed.status_code == 409, unclaimed.text
    assert client("PUT", f"{item}/state", WORKITEM, claim).status_code == 200
    assert client("PUT", f"{item}/state", WORKITEM, claim).status_code == 409
    client("POST", f"{item}?transaction-uid={transaction}", WORKITEM, comment)
    client("POST", f"{item}?transaction-uid={generate_uid()}", WORKITEM, comment)
    assert client("POST", f"{item}/subscribers/FIRST").status_code == 201
    assert client("POST", f"{item}/subscribers/SECOND").status_code == 503
    assert client("POST", f"{item}/cancelrequest").status_code == 202
    client("DELETE", f"{item}/subscribers/FIRST")
    canceled = str(generate_uid())
    client("POST", f"/workitems?{canceled}", WORKITEM, create)
    for _ in range(2):
        client("POST", f"/workitems/{canceled}/cancelrequest")
    everything = "/workitems/1.2.840.10008.5.1.4.34.5/subscribers/FIRST"
    assert client("POST", f"{everything}/suspend").status_code == 200
    client("DELETE", everything)
    client("DELETE", everything)
    client("POST", f"{everything}/suspend")
    assert client("POST", f"{item}/cancelrequest").status_code == 409, "nobody can tell who has claimed it"
    assert client("PUT", "/workitems/1.2.3/state", WORKITEM, claim).status_code == 404


FAULTS = {500, 503}
"""What damages an image, an index that cannot be read and a machine that has too much to do are no matter of the route:
they become these by one table (tests/dicomweb/test_http_errors.py). test_failures.py shows each."""
REASONS: dict[tuple[str, str], dict[int, str]] = {
    ("GET", r"(/.+)?/(studies|series|instances|workitems)"): {413: "it takes too long: contract/test_search_cost.py"},
    ("GET", r".+/metadata"): {413: "sequences of more items than are taken: part10/test_dicom_json.py"},
    ("GET", "/workitems"): {206: "more than 5,000 match: dicomweb/test_ups.py"},
    ("DELETE", r"/studies.+"): {
        409: "it must be kept for some days: test_deletions.py",
        507: "no room for the note: test_no_room of test_failures.py",
    },
    ("POST", r"(/studies|/trash).*"): {507: "test_no_room of test_failures.py"},
    ("(GET|POST|PUT)", r"/workitems/.+"): {410: "it ended days ago: dicomweb/test_ups.py"},
    ("GET", "/conformance"): {400: "Accept is all that it reads"},
}


def _has_reason(method: str, template: str, status: int) -> bool:
    return status in FAULTS or any(
        status in reasons and re.fullmatch(verb, method) and re.fullmatch(path, template)
        for (verb, path), reasons in REASONS.items()
    )


def test_each_route_gives_what_it_says(archive: RunningArchive, documented: Told) -> None:
    with httpx.Client(base_url=archive.dicomweb, timeout=30) as connection:
        client = Watched(connection, documented)
        sweep(client, documented)
        store_and_delete(client)
        work(client)
    routes = [(template, method) for template, methods in documented.items() for method in methods]
    never, untold = [], []
    for template, method in routes:
        seen, told = client.seen[template, method], documented[template][method]
        never += [
            f"{method} {template} {each}" for each in sorted(told - seen) if not _has_reason(method, template, each)
        ]
        untold += [f"{method} {template} {each}" for each in sorted(seen - told)]
    assert (never, untold) == ([], [])


@pytest.mark.parametrize("status", [204, 409, 418])
def test_control_a_status_that_nobody_gives_has_no_reason(status: int) -> None:
    assert not _has_reason("GET", "/studies/{study}/rendered", status)
    assert len(CT) > 1000
