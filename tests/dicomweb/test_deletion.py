from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pacs.deletions import Deletions
from pacs.dicomweb.app import dicomweb_app
from pacs.dicomweb.deletion import add_deletions
from pacs.http_settings import HttpSettings
from pacs.settings import LifecycleSettings
from tests.dicomweb.served import DoorInMemory, archive_under, image


class DeletingDoor(DoorInMemory):
    """With what deletes, if it is allowed."""

    deletions: Deletions
    http = HttpSettings(delete=True)

    def application(self) -> Any:
        app = dicomweb_app(self.ingest, self.search, self.retrieve, http=self.http)
        add_deletions(app, self.deletions, http=self.http)
        return app

    def delete(self, path: str, **options: Any) -> httpx.Response:
        return self.request("DELETE", path, **options)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[DeletingDoor]:
    with archive_under(tmp_path) as (ingest, search, retrieve):
        made = DeletingDoor(ingest, search, retrieve)
        made.deletions = Deletions(retrieve._index, retrieve._store, retrieve._derived, LifecycleSettings())
        yield made


def everything(door: DeletingDoor, study: str) -> list[tuple[int, bytes]]:
    """All that is said of a study, byte for byte."""
    paths = ["/studies", f"/studies/{study}/series", f"/studies/{study}/instances", f"/studies/{study}/metadata"]
    answers = [door.get(path) for path in [*paths, f"/studies/{study}"]]
    return [(answer.status_code, answer.content) for answer in answers]


@pytest.mark.parametrize("level", ["study", "series", "instance"])
def test_deleted_and_restored(door: DeletingDoor, level: str) -> None:
    keys = [
        door.keep(image(StudyInstanceUID="1.2", SeriesInstanceUID=f"1.2.{n % 2}", InstanceNumber=n))
        for n in range(1, 5)
    ]
    key = keys[1]
    path = {
        "study": "/studies/1.2",
        "series": "/studies/1.2/series/1.2.0",
        "instance": f"/studies/1.2/series/1.2.0/instances/{key.sop_instance_uid}",
    }[level]
    before = everything(door, "1.2")
    frame = f"{key.path}/frames/1"
    picture = door.get(frame).content
    answer = door.delete(path, params={"reason": "잘못된 환자"})
    assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
    said = answer.json()
    assert said["instances"] == {"study": 4, "series": 2, "instance": 1}[level]
    assert (said["reason"], said["deletedBy"], said["state"]) == ("잘못된 환자", "anonymous", "in-trash")
    for gone in (
        path,
        f"{path}/metadata",
        frame,
        f"{key.path}/thumbnail",
        f"{key.path}/rendered",
        f"{key.path}/versions",
    ):
        refused = door.get(gone)
        assert refused.status_code == 410, gone
        assert said["deletion"] in refused.json()["error"] and "restored" in refused.json()["hint"]
        assert "환자" not in refused.text
    assert door.delete(path, params={"reason": "again"}).status_code == 404
    assert everything(door, "1.2") != before
    assert door.get("/trash").json() == [said] and door.get(f"/trash/{said['deletion']}").json() == said
    restored = door.request("POST", f"/trash/{said['deletion']}/restore")
    assert restored.status_code == 200 and restored.json()["restored"] == said["instances"]
    assert everything(door, "1.2") == before
    assert door.get(frame).content == picture
    assert door.get("/trash").json() == []
    assert [one["state"] for one in door.get("/trash?history=true").json()] == ["restored"]
    assert door.request("POST", f"/trash/{said['deletion']}/restore").status_code == 409


def test_a_part_is_restored(door: DeletingDoor) -> None:
    keys = [door.keep(image(StudyInstanceUID="1.2", SeriesInstanceUID=f"1.2.{n}")) for n in (1, 2)]
    name = door.delete("/studies/1.2?reason=x").json()["deletion"]
    answer = door.request("POST", f"/trash/{name}/restore?series=1.2.1")
    assert answer.json()["restored"] == 1 and answer.json()["state"] == "in-trash"
    assert door.get(keys[0].path).status_code == 200
    assert door.get(keys[1].path).status_code == 410
    assert door.request("POST", f"/trash/{name}/restore?instance=1.9.9").status_code == 404
    assert door.request("POST", f"/trash/{name}/restore?instance=../1").status_code == 400


def test_browsers_ask_again_where_images_may_be_deleted(door: DeletingDoor) -> None:
    key = door.keep(image())
    assert "no-cache" in door.get(f"{key.path}/frames/1").headers["cache-control"]
    door.http = HttpSettings()
    assert "immutable" in door.get(f"{key.path}/frames/1").headers["cache-control"]


def test_off_unless_it_is_allowed(door: DeletingDoor) -> None:
    key = door.keep(image())
    door.http = HttpSettings()
    for method, path in (
        ("DELETE", f"/studies/{key.study_instance_uid}?reason=x"),
        ("DELETE", key.path + "?reason=x"),
        ("GET", "/trash"),
        ("GET", "/trash/" + "0" * 32),
        ("POST", "/trash/" + "0" * 32 + "/restore"),
    ):
        answer = door.request(method, path)
        assert answer.status_code == 403 and "delete = true" in answer.json()["error"], path
        assert "operator" in answer.json()["hint"] and "hospital" not in answer.text
    assert door.get(key.path).status_code == 200


def test_a_reason_in_the_body(door: DeletingDoor) -> None:
    key = door.keep(image())
    answer = door.delete(key.path, json={"reason": "wrong\tpatient"})
    assert answer.status_code == 400
    answer = door.delete(key.path, json={"reason": "wrong patient"})
    assert answer.status_code == 200 and answer.json()["reason"] == "wrong patient"


@pytest.mark.parametrize(
    ("status", "options"),
    [
        (400, {}),
        (400, {"params": {"reason": ""}}),
        (400, {"params": {"reason": "x" * 501}}),
        (400, {"params": {"reason": "a\r\nX-Evil: 1"}}),
        (400, {"params": {"reason": "\u202eabc"}}),
        (400, {"params": {"reason": ["a", "b"]}}),
        (400, {"params": {"reason": "a"}, "json": {"reason": "b"}}),
        (400, {"json": {"because": "b"}}),
        (400, {"json": ["b"]}),
        (400, {"json": {"reason": 7}}),
        (400, {"content": b"\xff\xfe", "headers": {"content-type": "application/json"}}),
        (400, {"content": b"[" * 8000, "headers": {"content-type": "application/json"}}),
        (413, {"content": b" " * 9000, "headers": {"content-type": "application/json"}}),
        (415, {"content": b"reason=x", "headers": {"content-type": "application/x-www-form-urlencoded"}}),
        (415, {"content": b"reason"}),
    ],
)
def test_requests_that_delete_nothing(door: DeletingDoor, status: int, options: dict[str, Any]) -> None:
    key = door.keep(image())
    answer = door.delete(key.path, **options)
    assert answer.status_code == status
    assert answer.json()["error"] and answer.json()["hint"]
    assert door.get(key.path).status_code == 200


@pytest.mark.parametrize(
    ("status", "method", "path"),
    [
        (404, "DELETE", "/studies/1.9?reason=x"),
        (404, "DELETE", "/studies/1.9/series/1.9.1?reason=x"),
        (400, "DELETE", "/studies/1.2..3?reason=x"),
        (400, "DELETE", "/studies/%2e%2e?reason=x"),
        (400, "DELETE", "/studies/1.2%00?reason=x"),
        (400, "DELETE", "/studies/1.2/series/x'%20OR%201=1?reason=x"),
        (405, "DELETE", "/studies?reason=x"),
        (405, "DELETE", "/studies/1.2/series/1.3/instances/1.4/frames/1?reason=x"),
        (405, "DELETE", "/studies/1.2/metadata?reason=x"),
        (404, "GET", "/trash/" + "0" * 32),
        (400, "GET", "/trash/..%5C"),
        (400, "POST", "/trash/!x!default/restore"),
        (400, "GET", "/trash?limit=-1"),
        (400, "GET", "/trash?offset=x"),
        (200, "GET", "/trash?limit=999999999"),
    ],
)
def test_odd_requests(door: DeletingDoor, status: int, method: str, path: str) -> None:
    answer = door.request(method, path)
    assert answer.status_code == status, answer.text


def test_what_is_not_offered_is_told_with_what_is(door: DeletingDoor) -> None:
    key = door.keep(image())
    study = f"/studies/{key.study_instance_uid}"
    for path, allowed in (
        (study, "DELETE, GET, HEAD, OPTIONS, POST"),
        (f"{study}/series/{key.series_instance_uid}", "DELETE, GET, HEAD, OPTIONS"),
        (key.path, "DELETE, GET, HEAD, OPTIONS"),
        (f"{key.path}/frames/1", "GET, HEAD, OPTIONS"),
        (f"{key.path}/thumbnail", "GET, HEAD, OPTIONS"),
        ("/trash", "GET, HEAD, OPTIONS"),
    ):
        answer = door.request("PATCH", path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed), path
        assert door.request("OPTIONS", path).headers["allow"] == allowed


def test_the_log_has_no_reason_and_no_second_line(door: DeletingDoor, caplog: pytest.LogCaptureFixture) -> None:
    key = door.keep(image())
    with caplog.at_level(logging.INFO, logger="pacs"):
        door.delete(key.path, params={"reason": "Kim^Minsu was wrong"})
        door.delete(key.path, params={"reason": "x\nlevel=error event=forged"})
        door.delete(key.path, json={"reason": "Kim^Minsu\x00"})
    said = [(record.getMessage(), getattr(record, "fields", {})) for record in caplog.records]
    deleted = [fields for event, fields in said if event == "deleted"]
    assert len(deleted) == 1 and deleted[0]["sop_instance_uid"] == key.sop_instance_uid
    assert "Minsu" not in json.dumps(said, default=str) and "forged" not in json.dumps(said, default=str)
    kept = json.loads(next(Path(door.retrieve._store.root).glob("*/deletions/*.json")).read_text())
    assert kept["reason"] == "Kim^Minsu was wrong"


def test_its_routes_are_described(door: DeletingDoor) -> None:
    paths = door.application().openapi()["paths"]
    assert "delete" in paths["/studies/{study}"] and "post" in paths["/studies/{study}"]
    assert "delete" in paths["/studies/{study}/series/{series}"]
    assert "delete" in paths["/studies/{study}/series/{series}/instances/{instance}"]
    assert {"/trash", "/trash/{deletion}", "/trash/{deletion}/restore"} <= paths.keys()
    assert door.request("PUT", "/studies/1.2").headers["allow"] == "DELETE, GET, HEAD, OPTIONS, POST"
