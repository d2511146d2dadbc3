"""TLS as BCP 195 has it (RFC 8996, RFC 9325; PS3.15 B.12): contexts made from settings, and nothing else.

TLS 1.3 and 1.2; in 1.2 only suites with ephemeral elliptic-curve keys and authenticated encryption; no compression,
no renegotiation.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from pacs.settings import DestinationSettings, DicomSettings, InvalidSettings, TlsSettings

_TLS_1_2_SUITES = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""RFC 9325 §4.2. The suites of TLS 1.3 are all of this kind and are not named here."""


def server_context(settings: DicomSettings) -> ssl.SSLContext | None:
    """What the DIMSE door answers handshakes with; None when it speaks without TLS.

    Raises:
        InvalidSettings: names the key whose file is missing, unreadable, no PEM, or does not fit the other.
    """
    tls = settings.tls
    if tls is None:
        return None
    context = _context(ssl.PROTOCOL_TLS_SERVER)
    _load_own(context, tls)
    if tls.client_ca is not None:
        _load_authorities(context, tls.client_ca, "dicom.tls.client_ca")
        is_required = tls.client_certificate == "required"
        context.verify_mode = ssl.CERT_REQUIRED if is_required else ssl.CERT_OPTIONAL
    return context


def client_context(settings: DicomSettings, destination: DestinationSettings) -> ssl.SSLContext | None:
    """What `destination` is dialled with; None without TLS. Shows our own certificate when asked for one.

    Raises:
        InvalidSettings: as `server_context`.
    """
    if not destination.tls:
        return None
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    if destination.ca is None:
        context.load_default_certs()
    else:
        _load_authorities(context, destination.ca, f"dicom.destinations: ca of {destination.aet!r}")
    if settings.tls is not None:
        _load_own(context, settings.tls)
    return context


def _context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_TLS_1_2_SUITES)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    return context


def _load_own(context: ssl.SSLContext, tls: TlsSettings) -> None:
    certificate = _text_of(tls.certificate, "dicom.tls.certificate")
    _text_of(tls.key, "dicom.tls.key")

    def no_passphrase() -> str:
        raise InvalidSettings(f"dicom.tls.key: {tls.key} asks for a passphrase; give a key without one")

    try:
        context.load_cert_chain(tls.certificate, tls.key, no_passphrase)
    except ssl.SSLError as problem:
        if problem.reason == "KEY_VALUES_MISMATCH":
            raise InvalidSettings(
                f"dicom.tls.key: {tls.key} does not belong to the certificate {tls.certificate}"
            ) from problem
        if not _is_certificate(certificate):
            raise InvalidSettings(f"dicom.tls.certificate: {tls.certificate} holds no certificate (PEM)") from problem
        raise InvalidSettings(f"dicom.tls.key: {tls.key} holds no usable private key (PEM): {problem}") from problem


def _load_authorities(context: ssl.SSLContext, file: Path, key: str) -> None:
    text = _text_of(file, key)
    try:
        context.load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError) as problem:
        raise InvalidSettings(f"{key}: {file} holds no certificate (PEM)") from problem


def _text_of(file: Path, key: str) -> str:
    try:
        return file.read_text("latin-1").encode("ascii", "ignore").decode("ascii")
    except OSError as problem:
        raise InvalidSettings(f"{key}: cannot read {file}: {problem.strerror or problem}") from problem


def _is_certificate(text: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError):
        return False
    return True
