"""Whatever is sent to the worklist is answered with a reason, never with a failure of the archive."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pacs.index import Index
from pacs.part10.dicom_xml import to_xml
from pacs.settings import WorklistSettings
from pacs.worklist.reports import FILTERED_GLOBAL_SUBSCRIPTION, GLOBAL_SUBSCRIPTION
from pacs.worklist.service import Worklist
from tests.dicomweb.worklist_client import Client
from tests.worklist.workitems import claim, new_uid, performed, workitem

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)
_VRS = ("SQ", "PN", "UI", "DT", "LO", "CS", "OB", "US", "DS", "XX", "")
_ATTRIBUTE = st.one_of(
    st.fixed_dictionaries({"vr": st.sampled_from(_VRS)}, optional={"Value": st.lists(_JSON, max_size=3)}),
    st.fixed_dictionaries({"vr": st.sampled_from(_VRS), "InlineBinary": _TEXT}),
    st.fixed_dictionaries({"vr": st.sampled_from(_VRS), "BulkDataURI": _TEXT}),
    _JSON,
)
_KEYS = st.sampled_from((*workitem(), "00081195", "00404034", "00741008", "00080005", "00091001", "7FE00010", "x", ""))
_METHODS = st.sampled_from(("GET", "POST", "PUT", "DELETE"))
_STEP = st.sampled_from(
    (
        "workitems",
        "state",
        "cancelrequest",
        "subscribers",
        "suspend",
        "1.2.3",
        GLOBAL_SUBSCRIPTION,
        "A",
        "..",
        "%00",
        "é",
    )
)
_TYPES = st.sampled_from(
    ("application/dicom+json", "application/dicom+xml", "multipart/related; boundary=b", "text/plain", "x", ";;")
)
FUZZ = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with client_of(tmp_path_factory.mktemp("hostile")) as client:
        yield client


@pytest.fixture
def another_client(tmp_path: Path) -> Iterator[Client]:
    """Of an archive that nobody has subscribed at."""
    with client_of(tmp_path) as client:
        yield client


@contextlib.contextmanager
def client_of(folder: Path) -> Iterator[Client]:
    index = Index.open(f"sqlite:///{folder / 'index.sqlite'}")
    index.migrate()
    client = Client(Worklist(index, WorklistSettings(max_subscribers=20)))
    yield client
    client.close()
    index.close()


def check(client: Client, method: str, path: str, body: Any = None, **headers: str) -> int:
    answer = client.request(method, path, body, **headers)
    assert answer.status_code < 500, (method, path, answer.text)
    if answer.status_code >= 400:
        assert set(answer.json()) == {"error", "hint"}, (method, path)
        assert answer.json()["error"]
    return answer.status_code


def check_created(client: Client, uid: str, status: int) -> None:
    """What was taken can be read again in both forms; what was refused is not there."""
    for accept in ("application/dicom+json", "application/dicom+xml"):
        again = check(client, "GET", f"/workitems/{uid}", accept=accept)
        assert again == (200 if status == 201 else 404)


@FUZZ
@given(st.dictionaries(_KEYS, _ATTRIBUTE, max_size=4))
def test_new_workitems(client: Client, changes: dict[str, Any]) -> None:
    uid = new_uid()
    check_created(client, uid, check(client, "POST", f"/workitems?{uid}", workitem() | changes))


@FUZZ
@given(st.dictionaries(_KEYS, _ATTRIBUTE, max_size=3))
def test_updates_and_changes_of_state(client: Client, changes: dict[str, Any]) -> None:
    uid, transaction = client.claimed()
    check(client, "POST", f"/workitems/{uid}?{transaction}", performed() | changes)
    check(client, "PUT", f"/workitems/{uid}/state", claim(transaction) | changes)
    check(client, "POST", f"/workitems/{uid}/cancelrequest", changes)
    assert check(client, "GET", f"/workitems/{uid}") == 200
    assert check(client, "GET", f"/workitems/{uid}", accept="application/dicom+xml") == 200


@FUZZ
@given(_JSON)
def test_bodies_of_json(client: Client, body: Any) -> None:
    assert check(client, "POST", f"/workitems?{new_uid()}", json.dumps(body).encode()) == 400


@FUZZ
@given(st.binary(max_size=40), _TYPES, st.integers(0, 4000), st.integers(0, 3))
def test_bodies_that_are_torn(client: Client, noise: bytes, content_type: str, at: int, kind: int) -> None:
    document = to_xml(workitem()) if kind % 2 else json.dumps(workitem()).encode()
    body = document[:at] + noise + document[at + kind :]
    uid = new_uid()
    check_created(client, uid, check(client, "POST", f"/workitems?{uid}", body, content_type=content_type))


@FUZZ
@given(_METHODS, st.lists(_STEP, max_size=6), _TEXT)
def test_paths_and_query_strings(client: Client, method: str, steps: list[str], query: str) -> None:
    # A client takes plain ".." out of the path before it sends it: written so, it reaches the door.
    steps = [quote(step).replace("..", "%2E%2E") for step in steps]
    path = "/" + "/".join(["workitems", *steps]) + ("?" + quote(query) if query else "")
    assert check(client, method, path, claim("1.2.3") if method != "GET" else None) < 500


@FUZZ
@given(st.sampled_from(("filter", "deletionlock", "limit", "PatientName", "SOPInstanceUID", "includefield")), _TEXT)
def test_parameters(client: Client, name: str, value: str) -> None:
    subscription = f"/workitems/{FILTERED_GLOBAL_SUBSCRIPTION}/subscribers/A"
    assert check(client, "GET", f"/workitems?{name}={quote(value)}") < 500
    assert check(client, "POST", f"{subscription}?{name}={quote(value)}") < 500
    assert check(client, "POST", f"{subscription}?filter={name}%3D{quote(quote(value))}") < 500


def test_deep_sequences_are_refused(client: Client) -> None:
    deep: Any = {}
    for _ in range(200):
        deep = {"00404021": {"vr": "SQ", "Value": [deep]}}
    assert check(client, "POST", f"/workitems?{new_uid()}", workitem() | deep) == 400
    xml = b"<NativeDicomModel>" + b'<DicomAttribute tag="00404021" vr="SQ"><Item number="1">' * 5000
    assert check(client, "POST", f"/workitems?{new_uid()}", xml, content_type="application/dicom+xml") == 400


def test_a_thousand_subscribers_find_an_end(another_client: Client) -> None:
    statuses = [
        another_client.request("POST", f"/workitems/{GLOBAL_SUBSCRIPTION}/subscribers/S{number}").status_code
        for number in range(40)
    ]
    assert statuses == [201] * 20 + [503] * 20


def test_nothing_of_a_patient_is_logged(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    client.created(PatientName=[{"Alphabetic": "SECRET^NAME"}], PatientID=["SECRETID"])
    check(client, "GET", "/workitems?PatientName=SECRET*&PatientBirthDate=SECRET")
    check(client, "POST", f"/workitems?{new_uid()}", workitem(PatientSex=["SECRET"] * 2, PatientID=["SECRETID"]))
    written = capfd.readouterr()
    assert "SECRET" not in written.out + written.err
