"""Closed-loop HTTP load by wrk (Debian's package), over a list of paths, with the percentiles wrk knows exactly."""

from __future__ import annotations

import json
import math
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_SCRIPT = """
local paths, conditions = {}, {}
for line in io.lines(os.getenv("BENCH_PATHS")) do
  local path, tag = line:match("^(%S+)%s*(.*)$")
  paths[#paths + 1], conditions[#paths + 1] = path, tag ~= "" and tag or nil
end
local requests = {}
local at = 0
function setup(thread) thread:set("seed", math.random(1, 1000000)) end
function init(args) math.randomseed(seed); at = math.random(#paths) end
function request()
  at = at % #paths + 1
  if not requests[at] then
    wrk.headers["If-None-Match"] = conditions[at]
    requests[at] = wrk.format("GET", paths[at])
  end
  return requests[at]
end
function done(summary, latency, requests)
  io.stderr:write(string.format(
    '{"requests": %d, "seconds": %.4f, "bytes": %d, "p50_ms": %.3f, "p95_ms": %.3f, "p99_ms": %.3f, ' ..
    '"max_ms": %.3f, "failures": %d}\\n',
    summary.requests, summary.duration / 1e6, summary.bytes, latency:percentile(50) / 1000,
    latency:percentile(95) / 1000, latency:percentile(99) / 1000, latency.max / 1000,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout))
end
"""


@dataclass(frozen=True)
class HttpFigures:
    """What one run gave; `failures` counts every answer that was no 2xx or 3xx."""

    requests: int
    seconds: float
    bytes: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    failures: int

    @property
    def per_second(self) -> float:
        return (self.requests - self.failures) / self.seconds


def load(
    base: str,
    paths: Sequence[str],
    *,
    headers: dict[str, str],
    connections: int,
    seconds: float,
    threads: int = 1,
    tags: Sequence[str] = (),
) -> HttpFigures:
    """GET `paths` in turn from `base` (``http://host:port``) over `connections` kept-alive connections, each with its
    entity tag in If-None-Match when `tags` are given."""
    lines = [" ".join(line) for line in zip(paths, tags, strict=True)] if tags else paths
    with tempfile.TemporaryDirectory() as folder:
        script, listing = Path(folder, "script.lua"), Path(folder, "paths")
        script.write_text(_SCRIPT)
        listing.write_text("\n".join(lines) + "\n")
        command = ["wrk", "--latency", "-t", str(threads), "-c", str(connections), "-d", f"{math.ceil(seconds)}s"]
        for name, value in headers.items():
            command += ["-H", f"{name}: {value}"]
        done = subprocess.run(
            [*command, "-s", str(script), base],
            env={"BENCH_PATHS": str(listing), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=seconds + 60,
            check=False,
        )
    if done.returncode or "{" not in done.stderr:
        raise RuntimeError(f"wrk failed: {done.stderr or done.stdout}")
    return HttpFigures(**json.loads(done.stderr[done.stderr.index("{") :]))
