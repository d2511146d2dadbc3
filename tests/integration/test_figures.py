"""The figures of a running archive: all its processes add up, every answer is counted, and nobody is named in them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydicom.data import get_testdata_file

from tests.running_archive import RunningArchive
from tests.waiting import wait_until

CT = Path(str(get_testdata_file("CT_small.dcm")))
UIDS = {
    "study": "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322",
    "series": "1.3.6.1.4.1.5962.1.3.1.1.20040119072730.12322",
    "instance": "1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322",
}
INSTANCE = "/studies/{study}/series/{series}/instances/{instance}".format(**UIDS)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningArchive]:
    with RunningArchive(tmp_path_factory.mktemp("figures") / "data") as running:
        yield running


def figures(archive: RunningArchive) -> dict[str, float]:
    answer = httpx.get(f"{archive.origin}/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def count(found: dict[str, float], door: str, kind: str) -> float:
    return found.get(f'pacs_request_seconds_count{{door="{door}",kind="{kind}"}}', 0)


@pytest.mark.dcmtk
def test_every_answer_of_every_process_is_counted(archive: RunningArchive) -> None:
    before = figures(archive)
    assert archive.storescu(str(CT)).returncode == 0
    assert (
        archive.dcmtk("findscu", "-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "PatientName=*Samples*").returncode == 0
    )
    accept = {"Accept": 'multipart/related; type="application/octet-stream"'}
    for _ in range(20):  # a connection each: both web processes get some
        assert httpx.get(f"{archive.dicomweb}{INSTANCE}/frames/1", headers=accept).status_code == 200
    assert httpx.get(f"{archive.dicomweb}/studies").status_code == 200
    assert httpx.get(f"{archive.dicomweb}/studies?PatientName=*Samples").status_code == 200
    assert httpx.get(f"{archive.dicomweb}/studies/1.2.3").status_code == 404
    assert httpx.get(f"{archive.dicomweb}{INSTANCE}/metadata").status_code == 200
    expected = {
        ("dimse", "c_store"): 1,
        ("dimse", "c_find_infix"): 1,
        ("http", "frame"): 20,
        ("http", "search"): 1,
        ("http", "search_infix"): 1,
        ("http", "export"): 1,
        ("http", "metadata"): 1,
    }

    def counted() -> dict[tuple[str, str], float]:
        found = figures(archive)
        return {one: count(found, *one) - count(before, *one) for one in expected}

    # An answer is counted after it was sent, and memory and disk are told by threads that begin when they are let.
    wait_until(lambda: sum(counted().values()) >= sum(expected.values()))
    assert counted() == expected
    wait_until(lambda: 'pacs_disk_free_bytes{process="background"}' in figures(archive))
    found = figures(archive)
    refused = 'pacs_requests_total{door="http",kind="export",outcome="4xx"}'
    assert found[refused] - before.get(refused, 0) == 1
    roles = {role for name in found for role in re.findall(r'pacs_starts\{process="([^"]+)"', name)}
    assert roles == {"dimse", "web-1", "web-2", "background"}
    assert all(found[f'pacs_resident_bytes{{process="{role}"}}'] > 1e6 for role in roles)
    assert found['pacs_disk_free_bytes{process="background"}'] > 0
    assert found['pacs_budget_seconds{door="http",kind="frame"}'] == 0.01


def test_background_work_is_counted_too(archive: RunningArchive) -> None:
    mr = Path(str(get_testdata_file("MR_small.dcm"))).read_bytes()  # no other test here sends it
    fields = {"Content-Type": "application/dicom"}
    assert httpx.post(f"{archive.dicomweb}/studies", content=mr, headers=fields).status_code == 200
    wait_until(lambda: count(figures(archive), "background", "settle") >= 1)
    assert count(figures(archive), "background", "settle") >= 1


def test_nothing_in_the_figures_comes_from_a_request(archive: RunningArchive) -> None:
    for path in (INSTANCE, "/studies/1.2.840.99999", "/made/up/by/a/peer", "/studies?PatientName=CompressedSamples*"):
        httpx.get(f"{archive.dicomweb}{path}")
        httpx.request("MADEUP", f"{archive.dicomweb}{path}")
    text = httpx.get(f"{archive.origin}/metrics").text
    for said in (*UIDS.values(), "99999", "peer", "CompressedSamples", "MADEUP", "STORESCU"):
        assert said not in text
    assert len(text) < 100_000


@pytest.mark.parametrize("fields", [{"X-Forwarded-For": "127.0.0.1"}, {"Via": "1.1 proxy"}, {"Forwarded": "for=::1"}])
def test_nobody_reads_them_through_a_proxy(archive: RunningArchive, fields: dict[str, str]) -> None:
    answer = httpx.get(f"{archive.origin}/metrics", headers=fields)
    assert answer.status_code == 403
    assert answer.json()["hint"]


@pytest.mark.parametrize(
    "path",
    ["/", "/metrics", "/health/ready", "/nothing", "/dicomweb/studies", "/dicomweb/nothing", "/dicomweb/studies/1"],
)
def test_every_answer_says_what_it_took(archive: RunningArchive, path: str) -> None:
    for headers in ({}, {"Host": "evil.example"}):
        timing = httpx.get(archive.origin + path, headers=headers).headers.get_list("server-timing")
        assert len(timing) == 1
        assert re.match(r"total;dur=\d+\.\d\d(, [a-z]+;dur=\d+\.\d\d)*\Z", timing[0])


def test_stages_are_told(archive: RunningArchive) -> None:
    timing = httpx.get(f"{archive.dicomweb}/studies?PatientID=1").headers["server-timing"]
    assert "index;dur=" in timing


def test_pacs_status_tells_how_the_budgets_stand(archive: RunningArchive) -> None:
    httpx.get(f"{archive.dicomweb}/studies")
    address = archive.origin.removeprefix("http://")
    found = json.loads(archive.run("status", "--json", "--http", address).stdout)
    search = next(one for one in found["budgets"]["budgets"] if one["kind"] == "search")
    assert found["budgets"]["running"] and search["answers"] >= 1 and search["budget_ms"] == 5
    said = archive.run("status", "--http", address)
    assert said.returncode == 0, said.stderr
    assert re.search(
        r"^  QIDO-RS by keys +(NOT KEPT|kept): [0-9.]+ % of [0-9,]+ within 5 ms", said.stdout, re.MULTILINE
    )
    assert "nothing has to give way now" in said.stdout
    assert "nothing answers at 127.0.0.1:1" in archive.run("status", "--http", "127.0.0.1:1").stdout
