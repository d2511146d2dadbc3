"""Certificates made by the openssl command, for a passing folder."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certified:
    """A certificate and its key, PEM."""

    certificate: Path
    key: Path


class Authority:
    """Makes certificates that `ca` vouches for."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        folder.mkdir(parents=True, exist_ok=True)
        self.ca, self._key = folder / f"{name}.crt", folder / f"{name}.key"
        self._openssl("req", "-x509", "-days", "2", "-subj", f"/CN={name}", "-keyout", self._key, "-out", self.ca)

    def certify(self, name: str, alternative_names: str = "IP:127.0.0.1,DNS:localhost") -> Certified:
        made = Certified(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        self._openssl(
            "req", "-x509", "-days", "2", "-subj", f"/CN={name}", "-keyout", made.key, "-out", made.certificate,
            "-CA", self.ca, "-CAkey", self._key, "-addext", f"subjectAltName={alternative_names}",
            "-addext", "basicConstraints=critical,CA:FALSE",
        )  # fmt: skip
        return made

    def client(self, own: Certified | None = None) -> ssl.SSLContext:
        """What a client that trusts this authority dials with."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if own is not None:
            context.load_cert_chain(own.certificate, own.key)
        return context

    def _openssl(self, command: str, *arguments: str | Path) -> None:
        # RSA, because the cipher suites of dcmtk's BCP 195 profile know nothing else.
        subprocess.run(
            ["openssl", command, "-newkey", "rsa:2048", "-nodes", *map(str, arguments)], capture_output=True, check=True
        )
