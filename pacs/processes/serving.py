"""`pacs serve`: opens the sockets, starts the children, says where it listens, ends on SIGTERM."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

from pacs import log
from pacs.errors import PacsError
from pacs.measured.board import new_memory
from pacs.processes.figures_board import layout_of
from pacs.processes.preparing import prepare
from pacs.processes.supervisor import CannotStart, Child, Supervisor, listen, lock_folder
from pacs.settings import Settings


def serve(settings: Settings) -> int:
    """Run one archive until it is asked to stop; returns the exit status.

    Raises:
        pacs.settings.InvalidSettings: something that the settings name cannot be used.
    """
    log.configure(process="serve", format=settings.log.format, level=settings.log.level)
    settings = settings.model_copy(update={"data": settings.data.resolve()})
    try:
        lock = lock_folder(settings.data)
        http = listen(settings.http.host, settings.http.port, "http.port")
        dicom = listen(settings.dicom.host, settings.dicom.port, "dicom.port")
        prepare(settings)
        figures = new_memory(layout_of(settings))
    except (CannotStart, PacsError) as problem:
        sys.stderr.write(f"pacs: {problem}\n")
        return 1
    kept = lock.fileno()
    children = [
        Child("dimse", (kept, dicom.fileno(), figures)),
        *(Child(f"web-{number}", (kept, http.fileno(), figures)) for number in range(1, settings.http.workers + 1)),
        Child("background", (kept, figures)),
    ]
    supervisor = Supervisor(settings, children, lambda: _greet(settings, http, dicom))

    def stop(_signal: int, _frame: Any) -> None:
        supervisor.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    status = supervisor.run()
    log.event("stopped", status=status)
    return status


def _greet(settings: Settings, http: Any, dicom: Any) -> None:
    web_host, web_port = http.getsockname()[:2]
    dicom_host, dicom_port = dicom.getsockname()[:2]
    log.event(
        "archive ready",
        http=f"{web_host}:{web_port}",
        dicom=f"{dicom_host}:{dicom_port}",
        aet=settings.dicom.aet,
        data=str(settings.data),
    )
    lines = (
        "The archive is ready.",
        f"  web page   http://{_shown(web_host)}:{web_port}/",
        f"  DICOMweb   http://{_shown(web_host)}:{web_port}/dicomweb",
        f"  DICOM      {settings.dicom.aet}@{_shown(dicom_host)}:{dicom_port}",
        f"  kept in    {Path(settings.data)}",
        "Ctrl-C ends it.",
    )
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
