"""A whole archive as a hospital runs it: `pacs serve` in its own processes, on loopback, in a passing folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from benchmarks.free_port import free_port

OF_THE_TESTS = {"PACS_SOAK", "PACS_KILL_ROUNDS", "PACS_POWER_CUTS", "PACS_CHROMIUM"}
"""An archive refuses to start with a variable that looks like a setting and is none."""


class RunningArchive:
    """`pacs serve`, ready from `start` until `stop`, `kill` or the end of the `with`."""

    aet = "PACS"

    def __init__(self, data: Path, *options: str, **environment: str) -> None:
        self.data = data
        self.http_port, self.dicom_port = free_port(), free_port()
        self.origin = f"http://127.0.0.1:{self.http_port}"
        self.dicomweb = f"{self.origin}/dicomweb"
        self.log = data.with_name(data.name + ".log")
        self._options = options
        self._environment = {
            **{name: value for name, value in os.environ.items() if name not in OF_THE_TESTS},
            "PACS_LIFECYCLE__SETTLE_AFTER_S": "1",
            # What gives way depends on how fast the machine is; who tests that says so.
            "PACS_BUDGETS__GIVE_WAY": "[]",
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        return [
            sys.executable, "-m", "pacs", "serve", "--data", str(self.data),
            "--http", f"127.0.0.1:{self.http_port}", "--dicom", f"127.0.0.1:{self.dicom_port}", "--aet", self.aet,
            *self._options,
        ]  # fmt: skip

    def start(self) -> RunningArchive:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(self.command(), stdout=output, stderr=output, env=self._environment)
        self.wait_until_ready()
        return self

    def wait_until_ready(self, limit_s: float = 180) -> None:
        deadline = time.monotonic() + limit_s
        while True:
            try:
                if httpx.get(f"{self.origin}/health/ready", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            if self.process is None or self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the archive did not become ready:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.05)

    def stop(self, limit_s: float = 120) -> int:
        """SIGTERM; returns the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(limit_s)
        self.process = None
        return status

    def kill(self) -> None:
        """SIGKILL to the parent alone: its children must notice by themselves."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def pid_of(self, role: str) -> int:
        """Process ID of one child, from the log."""
        started = [event for event in self.events("process started") if event["role"] == role]
        return int(started[-1]["pid"])

    def events(self, what: str | None = None) -> list[dict[str, Any]]:
        """The log's events, oldest first; a line that is just being written is not one yet."""
        whole, _, _ = self.log.read_bytes().rpartition(b"\n")
        lines = [json.loads(line) for line in whole.decode().splitlines() if line.startswith("{")]
        return [line for line in lines if what is None or line["event"] == what]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another `pacs` command on the same folder."""
        return subprocess.run(
            [sys.executable, "-m", "pacs", *arguments, "--data", str(self.data)],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def storescu(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.dcmtk("storescu", *arguments)

    def dcmtk(self, tool: str, *arguments: str, after: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        """A dcmtk client against this archive; `after` stands behind host and port."""
        address = ["127.0.0.1", str(self.dicom_port)]
        options = [argument for argument in arguments if not argument.startswith("/")]
        files = [argument for argument in arguments if argument.startswith("/")]
        return subprocess.run(
            [tool, "-aec", self.aet, *options, *address, *files, *after],
            env={**os.environ, "TCP_NODELAY": "1"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def __enter__(self) -> RunningArchive:
        try:
            return self.start()
        except BaseException:
            if self.process is not None:
                self.kill()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop()
