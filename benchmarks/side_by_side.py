"""Start this archive, Debian's Orthanc and nginx on loopback and measure them in one run.

    python -m benchmarks.side_by_side [--json FILE]

Orthanc runs as packaged, with its DICOMweb plugin and SQLite, and with Nagle off (it would otherwise measure
the kernel's timer). nginx serves the same frame bytes as plain files: the floor of what serving bytes costs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import httpx

from benchmarks import http_load
from benchmarks.measure import Row, http_row, machine, measure, table
from benchmarks.synthetic_ct import make_series

_ORTHANC_DICOMWEB = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"


_GIVEN: set[int] = set()


def free_port() -> int:
    """A port nobody listens on, never the same twice: the system may offer one again as soon as it is closed."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in _GIVEN:
            _GIVEN.add(port)
            return port


@contextmanager
def running(command: list[str], log: Path, ready: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """The process, from the moment that `ready` answers 200 until the end of the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **environment})
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                if httpx.get(ready, timeout=2).status_code == 200:
                    break
            except httpx.TransportError:
                pass
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def our_archive(folder: Path) -> Iterator[tuple[str, str]]:
    """(DICOM address, DICOMweb URL) of this archive with its defaults."""
    http, dicom = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "pacs", "serve", "--data", str(folder / "data"), "--http", http]
    with running([*command, "--dicom", dicom, "--aet", "PACS"], folder / "pacs.log", f"http://{http}/health/ready"):
        yield dicom, f"http://{http}/dicomweb"


@contextmanager
def orthanc(folder: Path) -> Iterator[tuple[str, str]]:
    """(DICOM address, DICOMweb URL) of Debian's Orthanc."""
    http, dicom = free_port(), free_port()
    settings = folder / "orthanc.json"
    settings.write_text(
        json.dumps(
            {
                "StorageDirectory": str(folder / "orthanc"),
                "IndexDirectory": str(folder / "orthanc"),
                "RemoteAccessAllowed": False,
                "AuthenticationEnabled": False,
                "HttpPort": http,
                "DicomPort": dicom,
                "DicomAet": "ORTHANC",
                "DicomAlwaysAllowStore": True,
                "Plugins": [_ORTHANC_DICOMWEB],
                "DicomWeb": {"Enable": True},
            }
        )
    )
    base = f"http://127.0.0.1:{http}"
    with running(["Orthanc", str(settings)], folder / "orthanc.log", f"{base}/system", TCP_NODELAY="1"):
        yield f"127.0.0.1:{dicom}", f"{base}/dicom-web"


@contextmanager
def nginx(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """(origin, paths) of nginx serving frames as files, two worker processes, sendfile."""
    root = folder / "frames"
    root.mkdir()
    for number, image in enumerate(make_series(100, seed=7)):
        (root / f"{number}.raw").write_bytes(image.frame)
    (root / "ready").write_text("yes")
    port = free_port()
    settings = folder / "nginx.conf"
    settings.write_text(
        f"daemon off; worker_processes 2; pid {folder}/nginx.pid; error_log {folder}/nginx.err;\n"
        "events { worker_connections 512; }\n"
        f"http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;\n"
        f"client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;"
        f"uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;\n"
        f"server {{ listen 127.0.0.1:{port}; root {root}; default_type application/octet-stream; }} }}\n"
    )
    # Its workers may not run as root's nobody below a private folder.
    command = (
        ["nginx", "-c", str(settings), "-g", "user root;"] if os.geteuid() == 0 else ["nginx", "-c", str(settings)]
    )
    origin = f"http://127.0.0.1:{port}"
    with running(command, folder / "nginx.log", f"{origin}/ready"):
        yield origin, [f"/{number}.raw" for number in range(100)]


def run(*, instances: int, seconds: float, connections: int) -> dict[str, list[Row]]:
    """Measure all that are installed, each alone on the machine, in one run."""
    found: dict[str, list[Row]] = {}
    for name, start in (("this archive", our_archive), ("Orthanc", orthanc)):
        if start is orthanc and not (shutil.which("Orthanc") and Path(_ORTHANC_DICOMWEB).exists()):
            continue
        with tempfile.TemporaryDirectory() as folder, start(Path(folder)) as (dicom, dicomweb):
            aet = "PACS" if start is our_archive else "ORTHANC"
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            found[name] = measure(
                dicom=dicom, aet=aet, dicomweb=dicomweb, instances=instances, seconds=seconds, connections=connections
            )
    if shutil.which("nginx"):
        print("measuring nginx ...", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as folder, nginx(Path(folder)) as (origin, paths):
            random.Random(1).shuffle(paths)
            figures = http_load.load(origin, paths, headers={}, connections=connections, seconds=seconds)
            found["nginx"] = [http_row(f"frame 512 KB as a file, {connections} connections", figures)]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instances", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    found = run(instances=given.instances, seconds=given.seconds, connections=given.connections)
    print(", ".join(f"{name} {value}" for name, value in machine().items()))
    for name, rows in found.items():
        print(f"\n### {name}\n\n{table(rows)}")
    if given.json:
        figures = {name: [asdict(row) for row in rows] for name, rows in found.items()}
        given.json.write_text(json.dumps({"machine": machine(), "figures": figures}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
