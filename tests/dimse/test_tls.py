"""TLS by BCP 195 (PS3.15 B.12): what the contexts take, what they refuse, and what a wrong file is told."""

from __future__ import annotations

import socket
import ssl
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pacs.dimse import server as server_module
from pacs.dimse.conversation import Conversation
from pacs.dimse.messages.command_builders import c_echo_rq, c_store_rq
from pacs.dimse.server import DimseServer
from pacs.dimse.tls import client_context, server_context
from pacs.dimse.upper_layer.events import AssociationAccepted
from pacs.settings import DestinationSettings, DicomSettings, InvalidSettings, TlsSettings
from tests.certificates import Authority, Certified
from tests.dimse.served import CT, CT_CONTEXT, ECHO_CONTEXT, MemoryIngest, RawPeer, serving


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("hospital"), "hospital")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


@pytest.fixture(scope="module")
def ours(hospital: Authority) -> Certified:
    return hospital.certify("pacs")


@pytest.fixture(scope="module")
def scanner(hospital: Authority) -> Certified:
    return hospital.certify("scanner")


@pytest.fixture
def server(ingest: MemoryIngest, ours: Certified) -> Iterator[DimseServer]:
    with serving(ingest, tls=TlsSettings(certificate=ours.certificate, key=ours.key), acse_timeout_s=20) as running:
        yield running


class TlsPeer(RawPeer):
    def __init__(self, server: DimseServer, context: ssl.SSLContext, name: str = "localhost") -> None:
        super().__init__(server)
        self.socket = context.wrap_socket(self.socket, server_hostname=name)


def _works(server: DimseServer, context: ssl.SSLContext) -> str | None:
    """The version of TLS on which an association came about and was used."""
    with TlsPeer(server, context) as peer:
        assert isinstance(peer.associate(), AssociationAccepted)
        assert peer.ask(CT_CONTEXT, c_store_rq(1, CT, "1.2.3"), bytes(range(256)) * 2000).status == 0
        assert isinstance(peer.socket, ssl.SSLSocket)
        version = peer.socket.version()
        assert peer.release() is not None
    return version


def test_a_peer_that_trusts_the_authority_stores(
    server: DimseServer, hospital: Authority, ingest: MemoryIngest
) -> None:
    assert _works(server, hospital.client()) == "TLSv1.3"
    assert ingest.kept["1.2.3"] == bytes(range(256)) * 2000


@pytest.mark.parametrize("suite", ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-CHACHA20-POLY1305"])
def test_tls_1_2_with_ephemeral_keys_and_authenticated_encryption(
    server: DimseServer, hospital: Authority, suite: str
) -> None:
    context = hospital.client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(suite)
    assert _works(server, context) == "TLSv1.2"


def _old_version(context: ssl.SSLContext) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT@SECLEVEL=0")


def _suite(name: str) -> Callable[[ssl.SSLContext], None]:
    def choose(context: ssl.SSLContext) -> None:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(name)

    return choose


@pytest.mark.parametrize(
    "weaken",
    [_old_version, _suite("AES128-GCM-SHA256"), _suite("ECDHE-RSA-AES256-SHA384"), _suite("DHE-RSA-AES128-GCM-SHA256")],
    ids=["TLS 1.0 and 1.1", "no forward secrecy", "CBC", "finite-field keys"],
)
def test_what_bcp_195_forbids_is_refused(
    server: DimseServer, hospital: Authority, weaken: Callable[[ssl.SSLContext], None]
) -> None:
    context = hospital.client()
    weaken(context)
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        _works(server, context)
    assert _works(server, hospital.client()) == "TLSv1.3"


def test_old_tls_would_be_possible_with_an_open_door(ours: Certified, hospital: Authority) -> None:
    """The control: this OpenSSL can speak what is refused above, so it is the archive that refuses."""
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(ours.certificate, ours.key)
    client = hospital.client()
    for context in (theirs, client):
        _old_version(context)
    left, right = socket.socketpair()
    with left, right:
        served = threading.Thread(target=lambda: theirs.wrap_socket(left, server_side=True).close())
        served.start()
        with client.wrap_socket(right, server_hostname="localhost") as connection:
            assert connection.version() in ("TLSv1", "TLSv1.1")
        served.join(10)


def test_a_peer_that_trusts_somebody_else_goes_away(server: DimseServer, stranger: Authority) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        TlsPeer(server, stranger.client())


@pytest.mark.parametrize("required", ["required", "optional"])
def test_certificates_of_peers(
    ingest: MemoryIngest, hospital: Authority, stranger: Authority, ours: Certified, scanner: Certified, required: Any
) -> None:
    tls = TlsSettings(certificate=ours.certificate, key=ours.key, client_ca=hospital.ca, client_certificate=required)
    wrong = stranger.certify("liar")
    with serving(ingest, tls=tls) as server:
        assert _works(server, hospital.client(scanner)) == "TLSv1.3"
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            _works(server, hospital.client(wrong))
        if required == "optional":
            assert _works(server, hospital.client()) == "TLSv1.3"
        else:
            with pytest.raises((ssl.SSLError, ConnectionResetError)):
                _works(server, hospital.client())


def test_a_plain_peer_at_the_tls_door_is_closed(server: DimseServer, ingest: MemoryIngest) -> None:
    with RawPeer(server) as peer:
        assert not isinstance(peer.associate(), AssociationAccepted)
        assert peer.is_closed_by_server()


def test_a_tls_peer_at_the_plain_door_is_closed(ingest: MemoryIngest, hospital: Authority) -> None:
    with serving(ingest) as server:
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            TlsPeer(server, hospital.client())
        with RawPeer(server) as peer:
            assert isinstance(peer.associate(), AssociationAccepted)


@pytest.mark.real_time(0.5)
def test_silent_and_dripping_handshakes_block_nobody_and_end(
    ingest: MemoryIngest, hospital: Authority, ours: Certified
) -> None:
    with serving(ingest, tls=TlsSettings(certificate=ours.certificate, key=ours.key), acse_timeout_s=3) as server:
        silent = [RawPeer(server) for _ in range(30)]
        dripping = RawPeer(server)
        started = time.monotonic()
        assert _works(server, hospital.client()) == "TLSv1.3"
        assert time.monotonic() - started < 3
        hello = b"\x16\x03\x01\x02\x00"
        waiting = threading.Event()
        try:
            for byte in hello + bytes(100):
                dripping.socket.sendall(bytes((byte,)))
                waiting.wait(0.1)
        except OSError:
            pass
        assert time.monotonic() - started < 8
        for peer in [*silent, dripping]:
            assert peer.is_closed_by_server()
            peer.socket.close()


@pytest.mark.real_time(1.0)
def test_a_server_with_open_handshakes_stops(ingest: MemoryIngest, ours: Certified) -> None:
    started = time.monotonic()
    with serving(ingest, tls=TlsSettings(certificate=ours.certificate, key=ours.key)) as server:
        silent = [RawPeer(server) for _ in range(3)]
    assert time.monotonic() - started < 10
    for peer in silent:
        assert peer.is_closed_by_server()
        peer.socket.close()


def test_wrong_files_are_named(tmp_path: Path, ours: Certified, scanner: Certified) -> None:
    nothing, text, secret = tmp_path / "nothing.pem", tmp_path / "text.pem", tmp_path / "secret.pem"
    text.write_text("no certificate")
    secret.write_text(
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
        "MIGjMF8GCSqGSIb3DQEFDTBSMDEGCSqGSIb3DQEFDDAkBBAAAAAAAAAAAAAAAAAAAAAAAgIIADAM\n"
        "BggqhkiG9w0CCQUAMB0GCWCGSAFlAwQBKgQQAAAAAAAAAAAAAAAAAAAAAARAAAAAAAAAAAAAAAAA\n"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
        "AA==\n-----END ENCRYPTED PRIVATE KEY-----\n"
    )
    good = {"certificate": ours.certificate, "key": ours.key}
    for change, said in (
        ({"certificate": nothing}, r"dicom\.tls\.certificate: cannot read .*nothing\.pem: No such file"),
        ({"certificate": tmp_path}, r"dicom\.tls\.certificate: cannot read .*: Is a directory"),
        ({"certificate": text}, r"dicom\.tls\.certificate: .*text\.pem holds no certificate"),
        ({"key": nothing}, r"dicom\.tls\.key: cannot read .*nothing\.pem"),
        ({"key": text}, r"dicom\.tls\.key: .*text\.pem holds no usable private key"),
        ({"key": secret}, r"dicom\.tls\.key: .*secret\.pem asks for a passphrase"),
        ({"key": scanner.key}, r"dicom\.tls\.key: .* does not belong to the certificate"),
        ({"client_ca": nothing}, r"dicom\.tls\.client_ca: cannot read"),
        ({"client_ca": text}, r"dicom\.tls\.client_ca: .* holds no certificate"),
    ):
        with pytest.raises(InvalidSettings, match=said):
            server_context(DicomSettings(tls=TlsSettings(**{**good, **change})))
    destination = DestinationSettings(aet="WS", host="127.0.0.1", port=104, tls=True, ca=nothing)
    with pytest.raises(InvalidSettings, match=r"ca of 'WS': cannot read"):
        client_context(DicomSettings(), destination)


def test_the_echo_goes_on_after_many(server: DimseServer, hospital: Authority) -> None:
    with TlsPeer(server, hospital.client()) as peer:
        peer.associate()
        for number in range(1, 50):
            assert peer.ask(ECHO_CONTEXT, c_echo_rq(number)).status == 0
        assert peer.release() is not None


@pytest.mark.parametrize("why", ["no thread can be made", "the archive is being stopped"])
def test_a_connection_that_nobody_will_serve_is_closed(
    server: DimseServer, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    """Not merely forgotten: the socket that was accepted is not the one that TLS is spoken over."""
    held: list[Conversation] = []

    class Held(Conversation):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            held.append(self)

    def no_more_threads(**_: object) -> threading.Thread:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(server_module, "Conversation", Held)
    if why == "no thread can be made":
        monkeypatch.setattr(server_module, "threading", SimpleNamespace(Thread=no_more_threads))
    else:
        monkeypatch.setattr(server, "_is_stopping", True)
    with RawPeer(server) as peer:
        assert peer.is_closed_by_server()
    assert len(held) == 1
