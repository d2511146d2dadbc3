"""Deletes, restores or erases, says so and kills itself; or kills itself before, right before a call of the disk.

python -m tests.crash.delete_forever FOLDER {delete,restore,erase}
"""

from __future__ import annotations

import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pacs.deletions import Deletions
from pacs.model import DeletionState, Principal
from pacs.settings import LifecycleSettings
from pacs.storage.derived import DerivedStore
from pacs.storage.disk import Disk
from tests.ingest.small_archive import Place, open_place

ME = Principal("me")


class KillingDisk(Disk):
    """Ends the process right before one of its calls."""

    def __init__(self, call: str, number: int) -> None:
        self._left = number
        original = getattr(self, call)

        def counted(*arguments: Any) -> Any:
            self._left -= 1
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments)

        setattr(self, call, counted)


def deletions_of(place: Place, folder: Path, *, ahead: timedelta = timedelta()) -> Deletions:
    return Deletions(
        place.index,
        place.store,
        DerivedStore(folder / "derived"),
        LifecycleSettings(),
        clock=lambda: datetime.now(UTC) + ahead,
    )


def run(folder: Path, step: str, call: str = "", number: int = 0) -> None:
    """The step; with `call` it ends there."""
    place = open_place(folder)
    deletions = deletions_of(place, folder)
    if call:
        disk = KillingDisk(call, number)
        place.store._disk = disk
        place.store.deletions._disk = disk
    if step == "delete":
        deletions.delete(ME, "1.2.1", "1.2.2", "1.2.3.2", reason="test", source="test")
    elif step == "restore":
        (one,) = place.index.trash.all(None, states=[DeletionState.IN_TRASH])
        deletions.restore(ME, one.name)
    else:
        while deletions_of(place, folder, ahead=timedelta(days=31)).erase_next():
            pass


def main() -> None:
    run(Path(sys.argv[1]), sys.argv[2])
    sys.stdout.write("1\n")
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
