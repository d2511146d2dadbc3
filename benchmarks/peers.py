"""The programs that are measured beside this archive, each started on loopback in processes of its own.

Every one runs as its package or documentation says, but with Nagle off where it receives: it would otherwise measure
the kernel's timer. None of them but ours waits for the disk before it acknowledges.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.free_port import free_port
from benchmarks.synthetic_ct import Slice

ORTHANC_DICOMWEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


@dataclass(frozen=True)
class Peer:
    """A program that receives, from the moment it is ready."""

    name: str
    aet: str
    dicom: str
    """host:port"""
    process: subprocess.Popen[bytes]
    dicomweb: str = ""
    """URL; empty without DICOMweb."""

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.dicom.rpartition(":")
        return host, int(port)

    def processor_s(self) -> float:
        """Processor time of all its processes so far; not of those that have ended."""
        parents, ticks = {}, {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = stat.read_text().rpartition(")")[2].split()
                parents[int(stat.parent.name)] = int(fields[1])
                ticks[int(stat.parent.name)] = int(fields[11]) + int(fields[12])
        ours = {self.process.pid}
        while more := {child for child, parent in parents.items() if parent in ours} - ours:
            ours |= more
        return sum(ticks.get(each, 0) for each in ours) / os.sysconf("SC_CLK_TCK")

    def pause(self) -> None:
        """Stop all its processes where they are, so that another has the machine for itself."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.killpg(self.process.pid, signal.SIGCONT)


Start = Callable[[Path], AbstractContextManager[Peer]]
"""Starts one with its files in the folder."""


@contextmanager
def running(command: list[str], log: Path, ready: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """The process, from the moment that `ready` (a URL, or host:port) answers until the end of the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env={**os.environ, **environment}, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 60
        while not _answers(ready):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)
        yield process
    finally:
        os.killpg(process.pid, signal.SIGCONT)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _answers(ready: str) -> bool:
    if not ready.startswith("http"):
        host, _, port = ready.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=2).close()
        except OSError:
            return False
        return True
    try:
        return httpx.get(ready, timeout=2).status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def our_archive(folder: Path, name: str = "this archive", **environment: str) -> Iterator[Peer]:
    """This archive with its defaults, or `environment`; its files are in ``data`` below the folder."""
    http, dicom = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "pacs", "serve", "--data", str(folder / "data"), "--http", http]
    command += ["--dicom", dicom, "--aet", "PACS"]
    with running(command, folder / "pacs.log", f"http://{http}/health/ready", **environment) as process:
        yield Peer(name, "PACS", dicom, process, f"http://{http}/dicomweb")


@contextmanager
def orthanc(folder: Path) -> Iterator[Peer]:
    """Debian's Orthanc, with its DICOMweb plugin and SQLite."""
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
                "Plugins": [str(ORTHANC_DICOMWEB)],
                "DicomWeb": {"Enable": True},
            }
        )
    )
    base = f"http://127.0.0.1:{http}"
    command = ["Orthanc", str(settings)]
    with running(command, folder / "orthanc.log", f"{base}/system", TCP_NODELAY="1") as process:
        yield Peer("Orthanc", "ORTHANC", f"127.0.0.1:{dicom}", process, f"{base}/dicom-web")


@contextmanager
def storescp(folder: Path) -> Iterator[Peer]:
    """dcmtk's receiver: files only, no index, a process for each association."""
    received = folder / "received"
    received.mkdir()
    port = free_port()
    command = ["storescp", "--fork", "-od", str(received), str(port)]
    with running(command, folder / "storescp.log", f"127.0.0.1:{port}", TCP_NODELAY="1") as process:
        yield Peer("storescp", "STORESCP", f"127.0.0.1:{port}", process)


def pynetdicom(form: str) -> Start:
    """pynetdicom's own server loop; for `form` see `pynetdicom_receiver`."""

    @contextmanager
    def start(folder: Path) -> Iterator[Peer]:
        received = folder / "received"
        received.mkdir()
        port = free_port()
        command = [sys.executable, "-m", "benchmarks.pynetdicom_receiver", str(port), str(received), form]
        with running(command, folder / "pynetdicom.log", f"127.0.0.1:{port}") as process:
            yield Peer(f"pynetdicom, {form}", "PYNETDICOM", f"127.0.0.1:{port}", process)

    return start


def receivers() -> list[Start]:
    """This archive, then all others that are installed."""
    found: list[Start] = [our_archive]
    if shutil.which("Orthanc") and ORTHANC_DICOMWEB.exists():
        found.append(orthanc)
    found += [pynetdicom("dataset"), pynetdicom("encoded_dataset")]
    if shutil.which("storescp"):
        found.append(storescp)
    return found


@contextmanager
def nginx(folder: Path, images: Sequence[Slice], *, workers: int = 2) -> Iterator[tuple[Peer, list[str]]]:
    """nginx serving the frames of `images` as files with sendfile, and their paths below `Peer.dicomweb`."""
    root = folder / "frames"
    root.mkdir()
    for number, image in enumerate(images):
        (root / f"{number}.raw").write_bytes(image.frame)
    (root / "ready").write_text("yes")
    port = free_port()
    settings = folder / "nginx.conf"
    settings.write_text(
        f"daemon off; worker_processes {workers}; pid {folder}/nginx.pid; error_log {folder}/nginx.err;\n"
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
    with running(command, folder / "nginx.log", f"{origin}/ready") as process:
        name = f"nginx, {workers} process{'es' * (workers > 1)}"
        yield Peer(name, "", "", process, origin), [f"/{number}.raw" for number in range(len(images))]
