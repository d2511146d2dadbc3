"""Instances of one store request that are whole, on their way to the disk. Blocking; knows no HTTP."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from pacs import log
from pacs.dicomweb.store_response import Failed, Result
from pacs.errors import PacsError, StorageError
from pacs.ingest import Reception

_MAX_COMMITS = 8
_MAX_WAITING_BYTES = 16 << 20
"""Received and not yet committed, per request; beyond it the client waits."""

_committers = ThreadPoolExecutor(32, "dicomweb-commit")
"""Commits of one request run side by side, so that they share one sync of the disk."""


@dataclass(frozen=True, slots=True)
class Ready:
    """An instance of which every byte is here."""

    reception: Reception
    sop_class_uid: str = ""
    sop_instance_uid: str = ""

    def commit(self) -> Result:
        """Make it durable. Never raises."""
        try:
            return self.reception.commit()
        except PacsError as problem:
            return Failed(problem, self.sop_class_uid, self.sop_instance_uid)
        except Exception as problem:  # noqa: BLE001 -- the client must be told of its own part, whatever it was
            log.failure("store failed", problem, route="STOW-RS")
            error = StorageError("An unexpected error; nothing of this instance was stored")
            return Failed(error, self.sop_class_uid, self.sop_instance_uid)


class Commits:
    """Not thread-safe; the commits themselves run in threads."""

    def __init__(self) -> None:
        self._results: list[Failed | Future[Result]] = []
        self._waiting: deque[tuple[Future[Result], int]] = deque()

    def __bool__(self) -> bool:
        return bool(self._results)

    def take(self, outcomes: Iterable[Failed | Ready]) -> None:
        """Commit what is ready, remember what failed; waits while too much is not yet committed."""
        for outcome in outcomes:
            if isinstance(outcome, Failed):
                self._results.append(outcome)
                continue
            future = _committers.submit(outcome.commit)
            self._results.append(future)
            self._waiting.append((future, outcome.reception.received_bytes))
            while len(self._waiting) > _MAX_COMMITS or sum(size for _, size in self._waiting) > _MAX_WAITING_BYTES:
                self._waiting.popleft()[0].result()

    def results(self) -> list[Result]:
        """Wait until everything is stored or failed; in the order taken."""
        return [result.result() if isinstance(result, Future) else result for result in self._results]
