"""The process that has numpy and all codecs loaded, and of which decoders are forked: a new one costs milliseconds.

``python -m pacs.decoding.nursery MEMORY_BYTES PROCESSOR_S [MODULE ...]``; started by `pacs.decoding.workers`, never by
hand. It has one thread, no file of the archive, and never sees a pixel. On standard input, a socket, it is asked to
fork a decoder on a connection that comes with the request, or to end one; when that socket ends, so do it and all of
its decoders.
"""

from __future__ import annotations

import array
import gc
import os
import signal
import socket
import struct
import sys

from pacs.decoding.confinement import confine, end_with, outlive_signals
from pacs.lean_imports import without_pixel_libraries

FORK, END = b"F", b"E"
REQUEST = struct.Struct("<cq")
"""What is asked, and the process that is to be ended."""
ANSWER = struct.Struct("<q")
"""The new process, or the wait status of the ended one."""


def main() -> None:
    memory_bytes, processor_s, modules = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
    outlive_signals()
    control = socket.socket(fileno=0)
    # After signals are taken care of: it takes a while.
    with without_pixel_libraries():
        import pacs.part10.header  # noqa: F401, PLC0415 -- it loads pydicom
    from pacs.decoding.warming import warm  # noqa: PLC0415

    warm(modules)
    gc.collect()
    gc.freeze()
    while True:
        try:
            request, ancillary, _, _ = control.recvmsg(REQUEST.size, socket.CMSG_LEN(4))
        except OSError:
            return
        if len(request) != REQUEST.size:
            return
        what, process = REQUEST.unpack(request)
        if what == FORK:
            answer = _fork(_descriptor(ancillary), memory_bytes, processor_s)
        else:
            os.kill(process, signal.SIGKILL)
            _, answer = os.waitpid(process, 0)
        control.send(ANSWER.pack(answer))


def _descriptor(ancillary: list[tuple[int, int, bytes]]) -> int:
    descriptors = array.array("i")
    for _, _, data in ancillary:
        descriptors.frombytes(data[:4])
    return descriptors[0]


def _fork(connection: int, memory_bytes: int, processor_s: float) -> int:
    nursery = os.getpid()
    process = os.fork()
    if process:
        os.close(connection)
        return process
    status = 1
    try:
        from pacs.decoding.serving import serve  # noqa: PLC0415 -- loaded by `warm`

        confined = confine(connection, memory_bytes)
        end_with(nursery)
        serve(confined, processor_s)
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
