"""Who is let in, who waits, who gives way."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from pacs.budget_settings import BudgetSettings
from pacs.dicomweb.admission import Admission
from pacs.dicomweb.door import Door
from pacs.errors import Busy
from pacs.measured.counts import Counts
from pacs.measured.kinds import kind

RENDERED, EXPORT, FRAME = kind("rendered"), kind("export"), kind("frame")


def admission(**settings: object) -> tuple[Admission, Counts]:
    budgets = BudgetSettings.model_validate(settings)
    counts = Counts.alone()
    return Admission(counts, budgets), counts


def refused(counts: Counts, name: str) -> int:
    return counts.board.totals(counts.board.layout.refused + kind(name).number, 1)[0]


def burn(gate: Admission, counts: Counts, seconds: float, *, start: float) -> float:
    now = start
    while now < start + seconds:
        now += 0.25
        for _ in range(20):
            counts.finished(FRAME, 0.5)
        gate.look(now)
    return now


def test_only_so_many_at_once_and_the_others_in_turn() -> None:
    gate, counts = admission(at_once={"rendered": 2}, waiting=3)
    order: list[int] = []
    most = 0

    async def ask(number: int) -> Busy | None:
        nonlocal most
        refusal = await gate.enter(RENDERED)
        if refusal is None:
            order.append(number)
            most = max(most, len(order) - len(ended))
            await asyncio.sleep(0)
            ended.append(number)
            gate.leave(RENDERED)
        return refusal

    ended: list[int] = []

    async def all_of_them() -> list[Busy | None]:
        return await asyncio.gather(*(ask(number) for number in range(8)))

    answers = asyncio.run(all_of_them())
    assert order == [0, 1, 2, 3, 4]
    assert most == 2
    assert [answer is not None for answer in answers] == [False] * 5 + [True] * 3
    assert refused(counts, "rendered") == 3
    assert counts.board.totals(counts.board.layout.gauges, 15)[4] == 0


def test_nobody_waits_for_ever() -> None:
    gate, _ = admission(at_once={"rendered": 1}, wait_s=0.01)

    async def ask() -> Busy | None:
        assert await gate.enter(RENDERED) is None
        return await gate.enter(RENDERED)

    answer = asyncio.run(ask())
    assert answer is not None
    assert answer.retry_after_s > 0


def test_who_goes_away_while_waiting_keeps_no_place() -> None:
    gate, _ = admission(at_once={"rendered": 1})

    async def play() -> None:
        assert await gate.enter(RENDERED) is None
        waiting = [asyncio.create_task(gate.enter(RENDERED)) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
        gate.leave(RENDERED)
        waiting[1].cancel()  # at the moment its turn came
        with pytest.raises(asyncio.CancelledError):
            await waiting[1]
        assert await waiting[2] is None
        gate.leave(RENDERED)
        assert await gate.enter(RENDERED) is None

    asyncio.run(asyncio.wait_for(play(), 5))


def test_what_burns_makes_the_first_kinds_give_way_and_no_defended_one() -> None:
    gate, counts = admission(give_way=("export", "rendered"))
    now = burn(gate, counts, 1.5, start=gate._burn._changed_at)

    async def ask(each: object) -> Busy | None:
        return await gate.enter(each)  # type: ignore[arg-type]

    assert asyncio.run(ask(EXPORT)) is None, "one at a time goes on"
    answer = asyncio.run(ask(EXPORT))
    assert answer is not None
    assert 1 <= answer.retry_after_s <= 30
    assert "instances of a series or a study" in str(answer)
    assert asyncio.run(ask(RENDERED)) is None
    burn(gate, counts, 5, start=now)
    assert asyncio.run(ask(RENDERED)) is not None
    assert asyncio.run(ask(FRAME)) is None
    gate.leave(EXPORT)
    assert asyncio.run(ask(EXPORT)) is None
    assert refused(counts, "export") == 1


def test_who_asks_for_one_thing_after_the_other_is_not_shut_out() -> None:
    gate, counts = admission(give_way=("rendered",))
    burn(gate, counts, 1.5, start=gate._burn._changed_at)

    async def play() -> list[bool]:
        assert await gate.enter(RENDERED) is None
        # The peer has its answer and asks again before the place is given back; two more come at the same moment.
        asked = [asyncio.create_task(gate.enter(RENDERED)) for _ in range(3)]
        await asyncio.sleep(0.01)
        gate.leave(RENDERED)
        answers = [await each for each in asked]
        gate.leave(RENDERED)
        assert await gate.enter(RENDERED) is None, "the place was given back"
        return [answer is None for answer in answers]

    assert asyncio.run(play()) == [True, False, False]
    assert refused(counts, "rendered") == 2


def test_who_gives_way_is_told_in_the_form_of_every_other_error(caplog: pytest.LogCaptureFixture) -> None:
    gate, counts = admission(give_way=("rendered",))
    burn(gate, counts, 1.5, start=gate._burn._changed_at)
    caplog.clear()

    async def small(_scope: Scope, _receive: Receive, send: Send) -> None:
        entered.set()
        await asyncio.wait_for(released.wait(), 10)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(Door(small, counts, gate))
        async with httpx.AsyncClient(transport=transport, base_url="http://h") as client:
            first = asyncio.create_task(client.get("/studies/1.2/rendered"))
            await asyncio.wait_for(entered.wait(), 10)
            refused = await asyncio.gather(*(client.get("/studies/1.2/rendered") for _ in range(2)))
            released.set()
            return [await first, *refused]

    entered, released = asyncio.Event(), asyncio.Event()
    answered, *refusals = asyncio.run(ask())
    assert answered.status_code == 204
    for refusal in refusals:
        assert refusal.status_code == 503
        assert int(refusal.headers["retry-after"]) >= 1
        assert set(refusal.json()) == {"error", "hint"}
        assert "wait;dur=" in refusal.headers["server-timing"]
    assert caplog.records == [], "a line for each would add to what burns"


def test_control_kinds_that_never_give_way_are_let_in() -> None:
    gate, counts = admission(give_way=())
    burn(gate, counts, 10, start=gate._burn._changed_at)

    async def ask() -> Busy | None:
        return await gate.enter(EXPORT)

    assert asyncio.run(ask()) is None
    assert FRAME.number not in gate.limited
    assert kind("store").number not in gate.limited
