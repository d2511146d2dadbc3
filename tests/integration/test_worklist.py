"""The worklist of `pacs serve`, with its real processes: WebSockets at any of them, events made at any other."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.running_archive import RunningArchive
from tests.worklist.workitems import claim, data_set, new_uid, workitem

GLOBAL = "1.2.840.10008.5.1.4.34.5"
LIMIT_S = 20
UPGRADE = ("Connection: Upgrade", "Upgrade: websocket")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningArchive]:
    with RunningArchive(tmp_path_factory.mktemp("worklist") / "data", PACS_HTTP__WORKERS="2") as running:
        yield running


@pytest.fixture
def http(archive: RunningArchive) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=archive.dicomweb) as client:
        yield client


def url_of(archive: RunningArchive, subscriber: str) -> str:
    return f"ws://127.0.0.1:{archive.http_port}/dicomweb/subscribers/{subscriber}"


async def next_of(socket: ClientConnection) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await asyncio.wait_for(socket.recv(), LIMIT_S))
    return found


def told(report: dict[str, Any]) -> tuple[str, int, str]:
    return (
        report["00001000"]["Value"][0],
        report["00001002"]["Value"][0],
        report.get("00741000", {}).get("Value", [""])[0],
    )


def create(http: httpx.Client, **values: Any) -> str:
    uid = new_uid()
    assert http.post(f"/workitems?{uid}", json=workitem(**values)).status_code == 201
    return uid


def put_claim(http: httpx.Client, uid: str) -> str:
    transaction = new_uid()
    assert http.put(f"/workitems/{uid}/state", json=claim(transaction)).status_code == 200
    return transaction


def test_events_reach_connections_at_every_process(archive: RunningArchive, http: httpx.Client) -> None:
    """Connections and requests are spread over the processes as the kernel likes: more and more to have both."""
    answer = http.post(f"/workitems/{GLOBAL}/subscribers/SPREAD")
    assert answer.headers["content-location"] == url_of(archive, "SPREAD")

    async def run() -> None:
        async with contextlib.AsyncExitStack() as stack:
            sockets = [await stack.enter_async_context(connect(url_of(archive, "SPREAD"))) for _ in range(4)]
            for at_once in (1, 1, 1, 1, 1, 1, *[8] * 20):
                if at_once > 1 and at_work(archive, "SPREAD") == {"web-1", "web-2"}:
                    return
                uids = await asyncio.gather(*(asyncio.to_thread(create_alone, archive) for _ in range(at_once)))
                for _ in uids:
                    reports = await asyncio.gather(*map(next_of, sockets))
                    (report,) = {told(report) for report in reports}
                    assert report in {(uid, 1, "SCHEDULED") for uid in uids}
        raise AssertionError(f"all came to {at_work(archive, 'SPREAD')}")

    asyncio.run(run())


def at_work(archive: RunningArchive, subscriber: str) -> set[str]:
    """Processes that have a connection of this subscriber, or have made a workitem."""
    connected = [event for event in archive.events("subscriber connected") if event["subscriber"] == subscriber]
    return {event["process"] for event in (*connected, *archive.events("workitem created"))}


def create_alone(archive: RunningArchive) -> str:
    """Over a connection of its own, so that another process may answer."""
    with httpx.Client(base_url=archive.dicomweb) as client:
        return create(client)


def test_the_life_of_a_workitem_as_its_watcher_hears_it(archive: RunningArchive, http: httpx.Client) -> None:
    uid = create(http)
    http.post(f"/workitems/{uid}/subscribers/LIFE")

    async def run() -> list[dict[str, Any]]:
        async with connect(url_of(archive, "LIFE")) as socket:
            first = await next_of(socket)
            transaction = put_claim(http, uid)
            progress = data_set(ProcedureStepProgress=["50"])
            changes = data_set(ProcedureStepProgressInformationSequence=[progress])
            assert http.post(f"/workitems/{uid}?{transaction}", json=changes).status_code == 200
            reason = data_set(ReasonForCancellation=["wrong patient"])
            assert http.post(f"/workitems/{uid}/cancelrequest", json=reason).status_code == 202
            return [first, *[await next_of(socket) for _ in range(3)]]

    reports = asyncio.run(run())
    assert [told(report)[1:] for report in reports] == [(1, "SCHEDULED"), (1, "IN PROGRESS"), (3, ""), (2, "")]
    assert reports[0]["00000002"] == {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.34.6.1"]}
    assert len({report["00000110"]["Value"][0] for report in reports}) == 4
    assert reports[2]["00741002"]["Value"][0]["00741004"]["Value"] == [50]
    assert reports[3]["00741238"]["Value"] == ["wrong patient"]


def test_events_wait_for_who_is_away(archive: RunningArchive, http: httpx.Client) -> None:
    http.post(f"/workitems/{GLOBAL}/subscribers/AWAY")
    uids = [create(http) for _ in range(3)]

    async def run() -> list[str]:
        async with connect(url_of(archive, "AWAY")) as socket:
            return [told(await next_of(socket))[0] for _ in uids]

    assert asyncio.run(run()) == uids


def test_what_a_lost_connection_may_not_have_got_comes_again(archive: RunningArchive, http: httpx.Client) -> None:
    http.post(f"/workitems/{GLOBAL}/subscribers/LOST")
    uid = create(http)

    async def run() -> list[str]:
        heard = []
        for _ in range(2):
            socket = await connect(url_of(archive, "LOST"))
            heard.append(told(await next_of(socket))[0])
            socket.transport.abort()
        return heard

    assert asyncio.run(run()) == [uid, uid]


class TestWhoMayConnect:
    def refused(self, archive: RunningArchive, path: str = "SPREAD", **headers: str) -> int:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}

        async def run() -> int:
            with pytest.raises(InvalidStatus) as problem:
                async with connect(url_of(archive, path), additional_headers=fields):
                    pass
            answer = problem.value.response
            if answer.status_code != 403 or answer.body:
                assert set(json.loads(answer.body)) == {"error", "hint"}
            return answer.status_code

        return asyncio.run(run())

    def test_a_page_of_another_site_is_not_let_in(self, archive: RunningArchive) -> None:
        """Cross-site WebSocket hijacking."""
        assert self.refused(archive, Origin="https://evil.example") == 403
        assert self.refused(archive, Origin="null") == 403
        assert self.refused(archive, Origin=f"http://127.0.0.1:{archive.http_port + 1}") == 403
        assert self.refused(archive, Origin=archive.origin, Sec_Fetch_Site="cross-site") == 403
        assert self.refused(archive, Sec_Fetch_Site="same-site") == 403

    def test_nor_one_with_a_name_of_its_own_for_this_machine(self, archive: RunningArchive) -> None:
        async def run() -> int:
            with pytest.raises(InvalidStatus) as problem:
                async with connect(f"ws://evil.example:{archive.http_port}/dicomweb/subscribers/A", host="127.0.0.1"):
                    pass
            return problem.value.response.status_code

        assert asyncio.run(run()) == 421

    def test_a_page_of_the_archive_is(self, archive: RunningArchive) -> None:
        """The control of the two tests above."""

        async def run() -> float:
            fields = {"Origin": archive.origin, "Sec-Fetch-Site": "same-origin"}
            async with connect(url_of(archive, "PAGE"), additional_headers=fields) as socket:
                return await asyncio.wait_for(await socket.ping(), LIMIT_S)

        assert 0 < asyncio.run(run()) < LIMIT_S

    def test_what_is_no_subscriber(self, archive: RunningArchive) -> None:
        assert self.refused(archive, "TOO%20LONG%20FOR%20A%20TITLE") == 400
        assert self.refused(archive, "a/b") == 403
        assert self.refused(archive, "") == 403


class TestLimits:
    def test_connections_of_one_subscriber(self, archive: RunningArchive) -> None:
        async def run() -> list[int]:
            async with contextlib.AsyncExitStack() as stack:
                refused = []
                for _ in range(12):  # 4 in each of two processes
                    try:
                        await stack.enter_async_context(connect(url_of(archive, "CROWD")))
                    except InvalidStatus as problem:
                        refused.append(problem.response.status_code)
                return refused

        refused = asyncio.run(run())
        assert len(refused) >= 4
        assert set(refused) == {503}

    @pytest.mark.parametrize(("message", "code"), [("x" * 5000, 1009), (b"x" * 5000, 1009)])
    def test_large_messages(self, archive: RunningArchive, message: str | bytes, code: int) -> None:
        assert asyncio.run(closed_after(archive, [message])) == code

    def test_many_messages(self, archive: RunningArchive) -> None:
        assert asyncio.run(closed_after(archive, ["x"] * 200)) == 1008

    def test_a_few_messages_are_dropped(self, archive: RunningArchive, http: httpx.Client) -> None:
        http.post(f"/workitems/{GLOBAL}/subscribers/TALKS")

        async def run() -> str:
            async with connect(url_of(archive, "TALKS")) as socket:
                await socket.send("hello")
                await socket.send(b"\xff")
                uid = create(http)
                assert told(await next_of(socket))[0] == uid
                return uid

        assert asyncio.run(run())

    def test_a_head_that_is_no_handshake(self, archive: RunningArchive) -> None:
        async def run(lines: list[str]) -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", archive.http_port)
            lines = ["GET /dicomweb/subscribers/A HTTP/1.1", "Host: localhost", *UPGRADE, *lines, "", ""]
            writer.write("\r\n".join(lines).encode())
            answer = await asyncio.wait_for(reader.read(), LIMIT_S)
            writer.close()
            return answer[:12]

        key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
        assert asyncio.run(run([])) == b"HTTP/1.1 400"
        assert asyncio.run(run([key, "Sec-WebSocket-Version: 1"])) == b"HTTP/1.1 400"
        assert (
            asyncio.run(run([key, "Sec-WebSocket-Version: 13", *[f"x{n}: y" for n in range(300)]])) == b"HTTP/1.1 400"
        )
        assert asyncio.run(run([key, "Sec-WebSocket-Version: 13", "x: " + "y" * 20_000])) == b"HTTP/1.1 400"


async def closed_after(archive: RunningArchive, messages: list[Any]) -> int | None:
    async with connect(url_of(archive, "NOISY")) as socket:
        with contextlib.suppress(ConnectionClosed):
            for message in messages:
                await socket.send(message)
        await asyncio.wait_for(socket.wait_closed(), LIMIT_S)
        return socket.close_code


def test_a_kill_loses_no_event_and_a_stop_closes_connections(archive: RunningArchive, http: httpx.Client) -> None:
    http.post(f"/workitems/{GLOBAL}/subscribers/STAYS")
    uid = create(http)
    put_claim(http, uid)
    archive.kill()
    archive.start()

    async def after() -> tuple[list[tuple[str, int, str]], int | None]:
        async with connect(url_of(archive, "STAYS")) as socket:
            reports = [await next_of(socket) for _ in range(3)]
            stopped = asyncio.create_task(asyncio.to_thread(archive.stop))
            await asyncio.wait_for(socket.wait_closed(), LIMIT_S)
            assert await stopped == 0
            return [told(report) for report in reports], socket.close_code

    try:
        reports, code = asyncio.run(after())
    finally:
        if archive.process is None:
            archive.start()
    assert reports == [(uid, 1, "SCHEDULED"), (uid, 1, "IN PROGRESS"), (GLOBAL, 4, "")]
    assert code == 1012
