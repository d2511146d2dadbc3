"""UPS-RS: status codes, header fields and bodies of PS3.18 §11, through the door, in memory."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import httpx
import pytest

from pacs.dicomweb.ups_body import MAX_BODY_BYTES
from pacs.index import Index
from pacs.model import DicomJson
from pacs.part10.dicom_xml import to_xml
from pacs.part10.dicom_xml_reader import read_xml
from pacs.worklist.reports import FILTERED_GLOBAL_SUBSCRIPTION, GLOBAL_SUBSCRIPTION
from pacs.worklist.service import Worklist
from tests.dicomweb.served import parts_of
from tests.dicomweb.worklist_client import JSON, Client
from tests.worklist.workitems import claim, data_set, new_uid, performed, to_state, workitem

XML = "application/dicom+xml"
SERVICE = "299 http://archive.test/dicomweb: "


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    index = Index.open(f"sqlite:///{tmp_path_factory.mktemp('ups') / 'index.sqlite'}")
    index.migrate()
    client = Client(Worklist(index))
    yield client
    client.close()
    index.close()


def problem(answer: httpx.Response, status: int, warning: str = "") -> str:
    """The message of an error answer, after its form was checked."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"error", "hint"}
    assert body["hint"]
    assert answer.headers.get("warning", "") == (SERVICE + warning if warning else "")
    message: str = body["error"]
    return message


class TestCreate:
    def test_created(self, client: Client) -> None:
        uid = new_uid()
        answer = client.request("POST", f"/workitems?{uid}", [workitem()])
        assert (answer.status_code, answer.content) == (201, b"")
        assert answer.headers["location"] == f"http://archive.test/dicomweb/workitems/{uid}"
        assert "warning" not in answer.headers

    @pytest.mark.parametrize("name", ["workitem", "AffectedSOPInstanceUID"])
    def test_other_ways_to_name_it(self, client: Client, name: str) -> None:
        assert client.request("POST", f"/workitems?{name}={new_uid()}", workitem()).status_code == 201

    def test_the_uid_in_the_workitem(self, client: Client) -> None:
        uid = new_uid()
        answer = client.request("POST", "/workitems", workitem(SOPInstanceUID=[uid]))
        assert answer.headers["location"].endswith(uid)
        assert problem(client.request("POST", "/workitems", workitem()), 400)

    def test_with_modifications(self, client: Client) -> None:
        answer = client.request("POST", f"/workitems?{new_uid()}", workitem(WorklistLabel=[]))
        assert answer.status_code == 201
        assert answer.headers["warning"] == SERVICE + "The Workitem was created with modifications."

    def test_xml_alone_in_multipart_and_compressed(self, client: Client) -> None:
        document = to_xml(workitem())
        multipart = b"--b\r\nContent-Type: application/dicom+xml\r\n\r\n" + document + b"\r\n--b--\r\n"
        for body, fields in (
            (document, {"content_type": XML}),
            (multipart, {"content_type": f'multipart/related; type="{XML}"; boundary=b'}),
            (gzip.compress(document), {"content_type": XML, "content_encoding": "gzip"}),
        ):
            uid = new_uid()
            assert client.request("POST", f"/workitems?{uid}", body, **fields).status_code == 201
            kept = client.request("GET", f"/workitems/{uid}").json()[0]
            assert {key: kept[key] for key in workitem()} == workitem()

    def test_one_that_is_there(self, client: Client) -> None:
        uid = client.created()
        assert uid in problem(client.request("POST", f"/workitems?{uid}", workitem()), 409)

    @pytest.mark.parametrize(
        ("body", "content_type", "status"),
        [
            (b"", JSON, 400),
            (b"[]", JSON, 400),
            (b"[{},{}]", JSON, 400),
            (b"{", JSON, 400),
            (b"nonsense", XML, 400),
            (b"<!DOCTYPE x []><NativeDicomModel/>", XML, 400),
            (b"{}", "text/plain", 415),
            (b"{}", "no media type", 400),
            (b"{}", f'multipart/related; type="{JSON}"', 400),
            (b'{"00100020":{"vr":"LO","Value":[{"a":1}]}}', JSON, 400),
            (b'{"00100020":{"vr":"LO","BulkDataURI":"file:///etc/passwd"}}', JSON, 400),
            (b'{"00100020":{"vr":"LO","Value":["\\ud800"]}}', JSON, 400),
            (b'{"00001000":{"vr":"UI","Value":["1.2"]}}', JSON, 400),
            (b"[" * 100_000, JSON, 400),
            (b'{"00404021":{"vr":"SQ","Value":[' * 2000, JSON, 400),
            (b" " * (MAX_BODY_BYTES + 1), JSON, 413),
        ],
    )
    def test_bodies_that_are_none(self, client: Client, body: bytes, content_type: str, status: int) -> None:
        assert problem(client.request("POST", f"/workitems?{new_uid()}", body, content_type=content_type), status)

    def test_content_codings_that_are_none(self, client: Client) -> None:
        def sent(body: bytes, coding: str) -> httpx.Response:
            return client.request("POST", f"/workitems?{new_uid()}", body, content_encoding=coding)

        assert problem(sent(b"{}", "br"), 415)
        assert problem(sent(b"{}", "gzip"), 400)
        assert problem(sent(gzip.compress(b"{}")[:-4], "gzip"), 400)
        assert problem(sent(gzip.compress(b" " * (20 << 20)), "gzip"), 413)

    @pytest.mark.parametrize("query", ["a=b", "../1", "workitem=", "1.2&1.3", "%ff", "1.2.3%00", "1" * 65])
    def test_query_strings_that_are_none(self, client: Client, query: str) -> None:
        assert problem(client.request("POST", f"/workitems?{query}", workitem()), 400)


class TestRetrieve:
    def test_in_json_and_xml(self, client: Client) -> None:
        uid = client.created()
        answer = client.request("GET", f"/workitems/{uid}")
        assert answer.headers["content-type"] == JSON
        assert answer.headers["content-location"].endswith(f"/dicomweb/workitems/{uid}")
        (kept,) = answer.json()
        assert kept["00080018"]["Value"] == [uid]
        alone = client.request("GET", f"/workitems/{uid}", accept=XML)
        assert alone.headers["content-type"] == XML
        ((fields, part),) = parts_of(
            client.request("GET", f"/workitems/{uid}", accept=f'multipart/related; type="{XML}"')
        )
        assert fields["content-type"] == XML
        assert read_xml(part) == read_xml(alone.content)
        assert read_xml(part).keys() == kept.keys()
        assert client.request("GET", f"/workitems/{uid}?accept={XML}").headers["content-type"] == XML
        assert client.request("HEAD", f"/workitems/{uid}").status_code == 200

    def test_failures(self, client: Client) -> None:
        assert problem(client.request("GET", f"/workitems/{new_uid()}"), 404)
        assert problem(client.request("GET", "/workitems/x"), 400)
        assert problem(client.request("GET", f"/workitems/{client.created()}", accept="image/png"), 406)

    def test_one_that_was_deleted(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        uid = client.created()
        client.request("POST", f"/workitems/{uid}/cancelrequest")
        monkeypatch.setattr(client.worklist, "_clock", lambda: 4e9)
        client.worklist.forget()
        for method, path, body in (
            ("GET", "", None),
            ("POST", "", {}),
            ("PUT", "/state", claim("1.2")),
            ("POST", "/cancelrequest", None),
        ):
            assert client.request(method, f"/workitems/{uid}{path}", body).status_code == 410
        assert problem(client.request("POST", f"/workitems?{uid}", workitem()), 409)


class TestUpdate:
    @pytest.mark.parametrize("form", ["?{}", "?transaction-uid={}", "?TransactionUID={}"])
    def test_updated(self, client: Client, form: str) -> None:
        uid, transaction = client.claimed()
        answer = client.request("POST", f"/workitems/{uid}{form.format(transaction)}", [performed()])
        assert (answer.status_code, answer.content) == (200, b"")
        assert "warning" not in answer.headers

    def test_with_modifications(self, client: Client) -> None:
        changes = data_set(ScheduledProcedureStepModificationDateTime=["20200101"])
        answer = client.request("POST", f"/workitems/{client.created()}", changes)
        assert answer.headers["warning"] == SERVICE + "The Workitem was updated with modifications."

    def test_failures(self, client: Client) -> None:
        inconsistent = "The submitted request is inconsistent with the current state of the Workitem."
        uid, _ = client.claimed()
        assert "missing" in problem(client.request("POST", f"/workitems/{uid}", {}), 400, inconsistent)
        assert "incorrect" in problem(client.request("POST", f"/workitems/{uid}?1.2", {}), 400, inconsistent)
        unclaimed = "The target URI did not reference a claimed Workitem."
        assert problem(client.request("POST", f"/workitems/{client.created()}?1.2", {}), 409, unclaimed)
        assert problem(client.request("POST", f"/workitems/{new_uid()}", {}), 404, inconsistent)
        ended = client.created()
        client.request("POST", f"/workitems/{ended}/cancelrequest")
        assert problem(client.request("POST", f"/workitems/{ended}", {}), 400, inconsistent)
        assert problem(client.request("POST", f"/workitems/{uid}?x=1", {}), 400, inconsistent)


class TestChangeState:
    def test_the_whole_way(self, client: Client) -> None:
        uid, transaction = client.claimed()
        client.request("POST", f"/workitems/{uid}?{transaction}", performed())
        answer = client.request("PUT", f"/workitems/{uid}/state", [to_state("COMPLETED", transaction)])
        assert (answer.status_code, answer.content) == (200, b"")
        again = client.request("PUT", f"/workitems/{uid}/state", to_state("COMPLETED", transaction))
        assert again.status_code == 200
        assert again.headers["warning"] == SERVICE + "The UPS is already in the requested state of COMPLETED."

    def test_failures(self, client: Client) -> None:
        uid, transaction = client.claimed()
        state = f"/workitems/{uid}/state"
        inconsistent = "The submitted request is inconsistent with the state of the UPS Instance."
        missing, incorrect = "The Transaction UID is missing.", "The Transaction UID is incorrect."
        assert problem(client.request("PUT", state, to_state("COMPLETED", None)), 400, missing)
        assert problem(client.request("PUT", state, to_state("COMPLETED", "1.2")), 400, incorrect)
        assert problem(client.request("PUT", state, claim(transaction)), 409, inconsistent)
        assert problem(client.request("PUT", state, to_state("SCHEDULED", transaction)), 409, inconsistent)
        assert problem(client.request("PUT", state, to_state("COMPLETED", transaction)), 409, inconsistent)
        assert problem(client.request("PUT", state, to_state("DONE", transaction)), 400, inconsistent)
        scheduled = f"/workitems/{client.created()}/state"
        assert problem(client.request("PUT", scheduled, to_state("CANCELED", "1.2")), 409, inconsistent)
        assert problem(client.request("PUT", f"/workitems/{new_uid()}/state", claim("1.2")), 404)

    def test_other_methods(self, client: Client) -> None:
        answer = client.request("GET", f"/workitems/{new_uid()}/state")
        assert answer.status_code == 405
        assert "PUT" in answer.headers["allow"]


class TestCancel:
    def test_accepted(self, client: Client) -> None:
        uid = client.created()
        path = f"/workitems/{uid}/cancelrequest"
        assert client.request("POST", path).status_code == 202
        again = client.request("POST", path, data_set(ReasonForCancellation=["again"]))
        assert again.status_code == 202
        assert again.headers["warning"] == SERVICE + "The UPS is already in the requested state of CANCELED."

    def test_failures(self, client: Client) -> None:
        uid, transaction = client.claimed()
        assert problem(client.request("POST", f"/workitems/{uid}/cancelrequest"), 409)
        client.request("POST", f"/workitems/{uid}?{transaction}", performed())
        client.request("PUT", f"/workitems/{uid}/state", to_state("COMPLETED", transaction))
        assert problem(client.request("POST", f"/workitems/{uid}/cancelrequest"), 409)
        assert problem(client.request("POST", f"/workitems/{new_uid()}/cancelrequest"), 404)
        assert problem(client.request("POST", f"/workitems/{uid}/cancelrequest", b"{"), 400)


class TestSearch:
    def test_pages(self, client: Client) -> None:
        uids = [client.created(WorklistLabel=["Pages"]) for _ in range(3)]

        def found(text: str) -> tuple[int, list[str]]:
            answer = client.request("GET", f"/workitems?WorklistLabel=Pages{text}")
            results: list[DicomJson] = answer.json()
            assert (answer.status_code == 206) == ("additional results" in answer.headers.get("warning", ""))
            return answer.status_code, [one["00080018"]["Value"][0] for one in results]

        assert found("") == (200, uids)
        assert found("&limit=2") == (206, uids[:2])
        assert found("&limit=2&offset=2") == (200, uids[2:])
        assert found("&limit=3") == (200, uids)
        assert client.request("GET", "/workitems?WorklistLabel=Pages&offset=3").status_code == 204

    def test_xml(self, client: Client) -> None:
        for _ in range(2):
            client.created(WorklistLabel=["Xml"])
        answer = client.request("GET", "/workitems?WorklistLabel=Xml", accept=XML)
        assert len(parts_of(answer)) == 2

    def test_failures(self, client: Client) -> None:
        for query in ("limit=x", "Nonsense=1", "PatientBirthDate=x", "fuzzymatching=perhaps", "%ff=1"):
            assert problem(client.request("GET", f"/workitems?{query}"), 400)


class TestSubscriptions:
    def test_created_and_ended(self, client: Client) -> None:
        uid = client.created()
        path = f"/workitems/{uid}/subscribers/WATCH ER"
        answer = client.request("POST", f"{path}?deletionlock=true")
        assert (answer.status_code, answer.content) == (201, b"")
        assert answer.headers["content-location"] == "ws://archive.test/dicomweb/subscribers/WATCH%20ER"
        assert client.request("DELETE", path).status_code == 200
        assert problem(client.request("DELETE", path), 404)

    def test_of_the_worklist(self, client: Client) -> None:
        path = f"/workitems/{GLOBAL_SUBSCRIPTION}/subscribers/ALL"
        assert client.request("POST", path).status_code == 201
        assert client.request("POST", f"{path}/suspend").status_code == 200
        assert problem(client.request("POST", f"{path}/suspend"), 404)
        assert client.request("DELETE", path).status_code == 200
        filtered = f"/workitems/{FILTERED_GLOBAL_SUBSCRIPTION}/subscribers/ALL"
        query = "?filter=WorklistLabel%3DChest,PatientID=P*&deletionlock=false"
        assert client.request("POST", filtered + query).status_code == 201
        assert client.request("DELETE", filtered).status_code == 200

    def test_failures(self, client: Client) -> None:
        assert problem(client.request("POST", f"/workitems/{new_uid()}/subscribers/A"), 404)
        assert problem(client.request("POST", f"/workitems/{client.created()}/subscribers/A/suspend"), 400)
        everything = f"/workitems/{GLOBAL_SUBSCRIPTION}/subscribers/"
        filtered = f"/workitems/{FILTERED_GLOBAL_SUBSCRIPTION}/subscribers/"
        for path in (
            everything + "TOO LONG FOR A TITLE",
            everything + "%5C",
            everything + "A?deletionlock=maybe",
            everything + "A?filter=PatientID=1",
            everything + "A?other=1",
            filtered + "A",
            filtered + "A?filter=",
            filtered + "A?filter=PatientID",
            filtered + "A?filter=Nonsense=1",
            filtered + "A?filter=PatientBirthDate=x",
            filtered + "A?filter=PatientID=1&filter=PatientID=2",
        ):
            assert problem(client.request("POST", path), 400)
