"""The pool of decoders: what is damaged costs one process, and everybody else goes on being answered."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pacs.decoding.workers import InThisProcess, Workers, workers_of_this_process
from pacs.errors import Busy, InvalidRequest, UndecodablePixels
from pacs.part10 import character_sets
from pacs.pixels.render import rendered
from pacs.settings import DecodingSettings
from tests.decoding import faults
from tests.pixels.images import data_set, gradient, scanned
from tests.waiting import wait_until

MEMORY = 128 << 20


def pool(**settings: float) -> Workers:
    chosen = {"workers": 2, "memory_bytes": MEMORY, "processor_s": 1, "deadline_s": 90, **settings}
    return Workers(DecodingSettings.model_validate(chosen), modules=[faults.__name__])


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    started = pool()
    yield started
    started.close()


def nursery_of(workers: Workers) -> int:
    return workers._nurseries[0]._process.pid


def decoders_of(nursery: int) -> list[int]:
    """As the system has them; those that have ended and are not waited for, too."""
    return [int(name) for name in Path(f"/proc/{nursery}/task/{nursery}/children").read_text().split()]


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def open_files(process: int) -> int:
    return len(list(Path(f"/proc/{process}/fd").iterdir()))


def can(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


class TestWork:
    def test_a_picture_is_the_same_as_in_this_process(self, workers: Workers) -> None:
        pixels = gradient()
        header = scanned(data_set(pixels))
        fragments = (memoryview(pixels.tobytes()),)
        made = workers.run(rendered, header, fragments, media_type="image/png")
        assert made == rendered(header, fragments, media_type="image/png")
        assert InThisProcess().run(rendered, header, fragments, media_type="image/png") == made

    def test_what_it_raises_is_raised(self, workers: Workers) -> None:
        pixels = gradient()
        with pytest.raises(InvalidRequest, match="quality 500"):
            workers.run(rendered, scanned(data_set(pixels)), (pixels.tobytes(),), quality=500)

    def test_a_mistake_of_ours_keeps_its_traceback(self, workers: Workers) -> None:
        with pytest.raises(ValueError, match="why") as raised:
            workers.run(faults.fail, "why")
        assert "in fail" in "".join(raised.value.__notes__)

    def test_large_values_go_both_ways(self, workers: Workers) -> None:
        value = os.urandom(5 << 20)
        assert workers.run(faults.echo, memoryview(value)) == value

    @pytest.mark.parametrize("name", sorted(character_sets.all_encodings()))
    def test_text_of_every_character_set_is_read(self, workers: Workers, name: str) -> None:
        text = next(
            text
            for text in ("山田", "홍길동", "ﾔﾏﾀﾞ", "Люк", "Διον", "שרון", "قباني", "ชื่อ", "ČŁ", "é", "a")
            if can(name, text)
        )
        character_set = ("iso8859", name) if name in character_sets._TWO_BYTES_IN_G0 else (name,)
        assert workers.run(character_sets.decode, text.encode(name), character_set, "PN") == text

    def test_an_answer_that_cannot_travel_is_a_mistake_of_ours(self, workers: Workers) -> None:
        with pytest.raises(UndecodablePixels, match="nonsense"):
            workers.run(faults.echo, faults.NoValue())
        assert workers.run(faults.echo, 1) == 1


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (faults.crash, "SIGSEGV"),
        (faults.give_up, "SIGABRT"),
        (faults.compute_forever, "decoding.processor_s"),
        (faults.read_on, "decoding.processor_s"),
        (faults.leave, "ended"),
        (faults.answer_nonsense, "nonsense"),
    ],
)
def test_who_harms_costs_one_process_and_nobody_notices(
    workers: Workers, function: Callable[[], None], why: str
) -> None:
    with ThreadPoolExecutor(1) as threads:
        harming = threads.submit(workers.run, function)
        answers = 0
        while not harming.done() or answers < 10:
            assert workers.run(faults.echo, answers) == answers
            answers += 1
        with pytest.raises(UndecodablePixels, match=why):
            harming.result()
    assert workers.run(faults.echo, b"afterwards") == b"afterwards"
    assert len(decoders_of(nursery_of(workers))) <= 2


@pytest.mark.real_time(0.1)
def test_who_waits_for_ever_is_ended_by_the_clock() -> None:
    workers = pool(workers=1, deadline_s=0.5)
    try:
        workers.run(faults.echo, 1)
        (before,) = decoders_of(nursery_of(workers))
        with pytest.raises(UndecodablePixels, match=r"decoding\.deadline_s"):
            workers.run(faults.wait_forever)
        assert not is_running(before)
        assert workers.run(faults.echo, 1) == 1
    finally:
        workers.close()


class TestMemory:
    def test_a_bomb_is_refused_and_others_are_not(self, workers: Workers) -> None:
        with pytest.raises(UndecodablePixels, match=r"decoding\.memory_bytes"):
            workers.run(faults.take, 2 * MEMORY)
        assert workers.run(faults.take, MEMORY // 4) == MEMORY // 4

    def test_control_this_process_takes_as_much(self) -> None:
        assert InThisProcess().run(faults.take, 2 * MEMORY) == 2 * MEMORY

    def test_a_message_larger_than_the_memory_is_refused(self, workers: Workers) -> None:
        with pytest.raises(UndecodablePixels):
            workers.run(faults.echo, memoryview(bytearray(2 * MEMORY)))
        assert workers.run(faults.echo, 1) == 1


class TestManyAtOnce:
    @pytest.mark.real_time(0.2)
    def test_who_comes_when_enough_wait_is_told_to_come_again(self) -> None:
        workers = pool(workers=1, waiting=1, wait_s=15, processor_s=30)
        try:
            with ThreadPoolExecutor(3) as threads:
                first = threads.submit(workers.run, faults.compute_for, 1.0)
                wait_until(lambda: workers._count == 1)
                second = threads.submit(workers.run, faults.echo, 2)
                wait_until(lambda: workers._waiting == 1)
                with pytest.raises(Busy) as refused:
                    workers.run(faults.echo, 3)
                assert refused.value.retry_after_s > 0
                assert (first.result(), second.result()) == (None, 2)
        finally:
            workers.close()

    @pytest.mark.real_time(0.2)
    def test_nobody_waits_longer_than_the_setting(self) -> None:
        workers = pool(workers=1, wait_s=0.1, processor_s=30)
        try:
            with ThreadPoolExecutor(1) as threads:
                first = threads.submit(workers.run, faults.compute_for, 1.0)
                wait_until(lambda: workers._count == 1)
                with pytest.raises(Busy):
                    workers.run(faults.echo, 3)
                first.result()
        finally:
            workers.close()

    def test_more_callers_than_decoders_get_their_own_answers(self, workers: Workers) -> None:
        with ThreadPoolExecutor(16) as threads:
            found = list(threads.map(lambda number: workers.run(faults.echo, (number, b"%d" % number)), range(300)))
        assert found == [(number, b"%d" % number) for number in range(300)]
        assert len(decoders_of(nursery_of(workers))) <= 2


def test_a_hundred_deaths_leave_nothing_behind(workers: Workers) -> None:
    with pytest.raises(UndecodablePixels):
        workers.run(faults.leave)
    workers.run(faults.echo, 1)
    nursery = nursery_of(workers)
    before = open_files(os.getpid()), open_files(nursery)
    for _ in range(100):
        with pytest.raises(UndecodablePixels):
            workers.run(faults.leave)
    workers.run(faults.echo, 1)
    assert (open_files(os.getpid()), open_files(nursery)) == before
    assert nursery_of(workers) == nursery
    assert len(decoders_of(nursery)) <= 2
    assert workers.run(faults.echo, 1) == 1


def test_a_decoder_that_was_killed_while_idle_costs_nobody_an_answer() -> None:
    workers = pool(workers=1)
    try:
        workers.run(faults.echo, 1)
        (decoder,) = decoders_of(nursery_of(workers))
        os.kill(decoder, signal.SIGKILL)
        wait_until(lambda: not is_running(decoder))
        assert workers.run(faults.echo, 2) == 2
        assert decoder not in decoders_of(nursery_of(workers))
    finally:
        workers.close()


def test_another_nursery_is_made_when_the_first_was_killed() -> None:
    workers = pool(workers=1)
    try:
        workers.run(faults.echo, 1)
        nursery = nursery_of(workers)
        decoders = decoders_of(nursery)
        os.kill(nursery, signal.SIGKILL)
        wait_until(lambda: not any(map(is_running, decoders)))
        assert workers.run(faults.echo, 2) == 2
        assert nursery_of(workers) != nursery
    finally:
        workers.close()


_ASKS_AND_WAITS = """
import sys, threading
from pacs.decoding.workers import Workers
from pacs.settings import DecodingSettings
from tests.decoding import faults
workers = Workers(DecodingSettings(workers=2, processor_s=60), modules=[faults.__name__])
workers.run(faults.echo, 1)
threading.Thread(target=workers.run, args=(faults.compute_forever,)).start()
threading.Thread(target=workers.run, args=(faults.wait_forever,)).start()
while workers._count < 2:
    pass
print(workers._nurseries[0]._process.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_stays_of_a_process_that_was_killed(number: int) -> None:
    asking = subprocess.Popen(
        [sys.executable, "-c", _ASKS_AND_WAITS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with asking:
        assert asking.stdout is not None
        nursery = int(asking.stdout.readline())
        wait_until(lambda: len(decoders_of(nursery)) == 2)
        processes = [nursery, *decoders_of(nursery)]
        assert all(map(is_running, processes)), "the control: they are seen"
        asking.send_signal(number)
        wait_until(lambda: not any(map(is_running, processes)))


def test_closing_ends_all_of_them() -> None:
    workers = pool()
    workers.run(faults.echo, 1)
    processes = [nursery_of(workers), *decoders_of(nursery_of(workers))]
    assert len(processes) > 1
    assert all(map(is_running, processes)), "the control: they are seen"
    workers.close()
    wait_until(lambda: not any(map(is_running, processes)))


def test_who_forgets_to_close_leaves_nothing() -> None:
    workers = pool()
    workers.run(faults.echo, 1)
    processes = [nursery_of(workers), *decoders_of(nursery_of(workers))]
    assert len(processes) > 1
    assert all(map(is_running, processes)), "the control: they are seen"
    del workers
    wait_until(lambda: not any(map(is_running, processes)))


def test_who_is_given_no_pool_has_one_all_the_same() -> None:
    assert isinstance(workers_of_this_process(), Workers)
    assert workers_of_this_process() is workers_of_this_process()
