"""pynetdicom's own server loop as a receiver that writes files, to be measured in a process of its own.

    python -m benchmarks.pynetdicom_receiver PORT FOLDER dataset|encoded_dataset

``dataset`` is what pynetdicom's documentation shows (decode the data set, save it); ``encoded_dataset`` writes the
bytes as they came, the quickest that its events allow. Neither waits for the disk, as there.
"""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pynetdicom import AE, AllStoragePresentationContexts, evt


def save_data_set(event: Any, folder: Path) -> int:
    """Handler of EVT_C_STORE as documented; returns the status."""
    ds = event.dataset
    ds.file_meta = event.file_meta
    ds.save_as(folder / str(ds.SOPInstanceUID), enforce_file_format=True)
    return 0x0000


def save_bytes(event: Any, folder: Path) -> int:
    """Handler of EVT_C_STORE that decodes nothing; returns the status."""
    (folder / str(event.request.AffectedSOPInstanceUID)).write_bytes(event.encoded_dataset())
    return 0x0000


FORMS: dict[str, Callable[[Any, Path], int]] = {"dataset": save_data_set, "encoded_dataset": save_bytes}


def main() -> int:
    port, folder, form = sys.argv[1:]
    entity = AE("PYNETDICOM")
    entity.supported_contexts = AllStoragePresentationContexts
    handlers: list[evt.EventHandlerType] = [(evt.EVT_C_STORE, FORMS[form], [Path(folder)])]
    server: Any = entity.start_server(("127.0.0.1", int(port)), block=False, evt_handlers=handlers)
    # Connections inherit it from the socket that listens.
    server.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    server.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
