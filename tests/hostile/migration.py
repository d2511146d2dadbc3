"""Child of the priority test: many associations that send old data without a pause, each image a new one.

``python -m tests.hostile.migration PORT ASSOCIATIONS``. One process at the lowest scheduling priority whose threads
wait in the kernel, and messages that are encoded before the first is sent: what is measured beside it is the archive,
and not the sender's share of the machine.
"""

from __future__ import annotations

import itertools
import os
import socket
import sys
import threading

from benchmarks.dimse_load import _associate_rq, _c_store_rq, _receive_pdu
from benchmarks.synthetic_ct import make_series

AET = "MIGRATION"
_PDU_BYTES = 16384


def main() -> None:
    port, associations = int(sys.argv[1]), int(sys.argv[2])
    os.nice(19 - os.nice(0))
    [image] = make_series(1, seed=1)
    message = _c_store_rq(1, image, _PDU_BYTES)
    uid = image.sop_instance_uid.encode()
    places = [at for at in range(len(message)) if message.startswith(uid, at)]
    numbers = itertools.count(1)

    def migrate() -> None:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(_associate_rq("PACS", AET))
            _receive_pdu(connection)
            own = bytearray(message)
            for number in numbers:
                new = b"2.25." + str(10**40 + number).encode()
                for at in places:
                    own[at : at + len(uid)] = new.ljust(len(uid), b"1")[: len(uid)]
                connection.sendall(own)
                _receive_pdu(connection)

    for _ in range(associations):
        threading.Thread(target=migrate).start()


if __name__ == "__main__":
    main()
