"""Two ends of one connection over loopback: ours, and the peer's bare socket."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from pacs.dimse.connection import Connection
from pacs.dimse.upper_layer.association import Association
from pacs.dimse.upper_layer.events import AssociationRequested
from tests.dimse.upper_layer.bytes_of_peers import ACCEPT, RQ
from tests.patience import PATIENCE_S


@contextmanager
def sockets_connected() -> Iterator[tuple[socket.socket, socket.socket]]:
    """(what we accepted, the peer's)."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        peer = socket.create_connection(listening.getsockname(), timeout=PATIENCE_S)
        accepted, _ = listening.accept()
    with accepted, peer:
        yield accepted, peer


def established(
    accepted: socket.socket, peer: socket.socket, *, max_pdu_length: int, send_timeout_s: float
) -> Connection:
    """Our end, with the association established."""
    ours = Connection(accepted, Association(max_pdu_length=max_pdu_length), send_timeout_s=send_timeout_s)
    ours.association.connection_arrived()
    peer.sendall(RQ)
    assert isinstance(ours.next_event(PATIENCE_S), AssociationRequested)
    ours.association.accept(ACCEPT)
    ours.flush()
    assert peer.recv(10_000)[0] == 2
    return ours
