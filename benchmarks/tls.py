"""C-STORE under TLS beside plain C-STORE, on two archives of one run.

    python -m benchmarks.tls [--images 400] [--rounds 3]

Both run at once, only one is sent to at a time, in turn. The sender encrypts on the same machine, so that what TLS
costs is counted twice; user and system seconds are those of the receiving process alone.
"""

from __future__ import annotations

import argparse
import os
import ssl
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.dimse_load import store
from benchmarks.synthetic_ct import make_series
from tests.certificates import Authority
from tests.running_archive import RunningArchive

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--images", type=int, default=400)
    arguments.add_argument("--rounds", type=int, default=3)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(Path(folder), "benchmark")
        own = authority.certify("archive")
        config = Path(folder, "tls.toml")
        config.write_text(f'[dicom.tls]\ncertificate = "{own.certificate}"\nkey = "{own.key}"\n')
        client: ssl.SSLContext = authority.client()
        with (
            RunningArchive(Path(folder, "plain")) as plain,
            RunningArchive(Path(folder, "tls"), "--config", str(config)) as secured,
        ):
            seed = 0
            print("| associations | | instances/s | CPU of the receiving process, ms per instance |\n|---|---|---|---|")
            for associations in (1, 4):
                rates: dict[str, list[tuple[float, float]]] = {"plain": [], "TLS": []}
                for _ in range(given.rounds):
                    for name, archive, tls in (("plain", plain, None), ("TLS", secured, client)):
                        seed += 1
                        images = make_series(given.images, seed=seed)
                        pid = archive.pid_of("dimse")
                        before = cpu_s(pid)
                        figures = store("127.0.0.1", archive.dicom_port, archive.aet, images, associations, tls=tls)
                        assert figures.failures == 0
                        rates[name].append((figures.per_second, 1000 * (cpu_s(pid) - before) / given.images))
                for name, found in rates.items():
                    rate, cpu = (median(values) for values in zip(*found, strict=True))
                    print(f"| {associations} | {name} | {rate:.0f} | {cpu:.2f} |", flush=True)


if __name__ == "__main__":
    main()
