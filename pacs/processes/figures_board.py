"""The board of figures that all processes of one archive count in: the same layout in the parent and in each child."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from pacs import log
from pacs.measured.board import Layout
from pacs.measured.counts import Counts
from pacs.settings import Settings

_PAUSE_S: Final = 2.0
_STATM = Path("/proc/self/statm")


def layout_of(settings: Settings) -> Layout:
    """A part for each process that `pacs serve` starts; hospitals as peers name them."""
    web = tuple(f"web-{number}" for number in range(1, settings.http.workers + 1))
    return Layout.of(("dimse", *web, "background"), [peer.hospital for peer in settings.dicom.peers])


def tell_again_and_again(counts: Counts, what: Callable[[], Mapping[str, int]], pause_s: float = _PAUSE_S) -> None:
    """Set this process's memory, and the gauges that `what` gives, in a thread of its own for as long as it lives."""

    def tell() -> None:
        wait = threading.Event().wait
        while True:
            try:
                counts.set("resident_bytes", _resident_bytes())
                for name, value in what().items():
                    counts.set(name, value)
            except Exception as problem:  # noqa: BLE001 -- a figure that cannot be had must not end the others
                log.event("figures cannot be told", error=problem)
            wait(pause_s)

    threading.Thread(target=tell, name="figures", daemon=True).start()


def room(folder: Path) -> dict[str, int]:
    """The file system that the archive is kept on."""
    disk = shutil.disk_usage(folder)
    return {"disk_free_bytes": disk.free, "disk_total_bytes": disk.total}


def _resident_bytes() -> int:
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0  # not told on this system
