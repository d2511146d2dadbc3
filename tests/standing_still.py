"""Tests whose subject is a short time, and machines that stand still in the middle of it.

`@pytest.mark.real_time(most_s)` is for a test in which a peer must *not* be too slow for a time-out of a fraction of a
second, or something must come soon. When the whole machine stands still for longer than `most_s`, the test says nothing
about the archive: it was the machine that was slow. So a test that failed while the machine was seen to stand still is
done again from the start, `TRIES` times at most. One that failed while the machine ran has failed.
"""

from __future__ import annotations

import os
import threading
import time
from types import TracebackType

import pytest
from _pytest.runner import runtestprotocol

TRIES = 6
_STEP_S = 0.005


class Watch:
    """Notes by how much a thread on each processor came too late: `longest_s`."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._is_over = False
        self._threads = [
            threading.Thread(target=self._look, args=(processor,), name="watch", daemon=True)
            for processor in sorted(os.sched_getaffinity(0))
        ]

    def _look(self, processor: int) -> None:
        os.sched_setaffinity(threading.get_native_id(), {processor})
        before = time.monotonic()
        while not self._is_over:
            time.sleep(_STEP_S)
            now = time.monotonic()
            self.longest_s = max(self.longest_s, now - before - _STEP_S)
            before = now

    def __enter__(self) -> Watch:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True
        for thread in self._threads:
            thread.join()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "real_time(most_s): says nothing when the machine stands still for longer; done again then"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    marker = item.get_closest_marker("real_time")
    if marker is None:
        return None
    (most_s,) = marker.args
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for number in range(TRIES):
        if number:
            item._initrequest()  # type: ignore[attr-defined] -- new fixtures; what every plugin that repeats does
        with Watch() as watch:
            reports = runtestprotocol(item, nextitem=nextitem, log=False)
        if not any(report.failed for report in reports) or watch.longest_s <= most_s:
            break
    for report in reports:
        if number:
            report.sections.append(("standing still", f"{number + 1} tries; {watch.longest_s:.2f} s in the last one"))
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
