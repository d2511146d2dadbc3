"""`pacs import`: many files through the one write path, with progress and a truthful summary."""

from __future__ import annotations

import json
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pacs import log
from pacs.app import open_archive
from pacs.errors import NotDicom, PacsError, StorageError
from pacs.ingest import Ingest
from pacs.media.file_set import Candidate, candidates
from pacs.model import Outcome, Principal, Source
from pacs.settings import Settings

_SHOWN_REFUSALS = 20
NOT_DICOM = "no DICOM"
REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class FileResult:
    """What became of one file."""

    name: str
    outcome: str
    """``stored``, ``already there``, ``refused`` or ``no DICOM``."""
    reason: str = ""


@dataclass
class Summary:
    counts: Counter[str] = field(default_factory=Counter)
    refused: list[FileResult] = field(default_factory=list)
    was_interrupted: bool = False
    failure: str = ""
    """Why the storage itself stopped the import; empty when it did not."""

    def add(self, result: FileResult) -> None:
        self.counts[result.outcome] += 1
        if result.outcome == REFUSED:
            self.refused.append(result)

    @property
    def is_over(self) -> bool:
        """No further file is begun."""
        return bool(self.failure) or self.was_interrupted

    @property
    def exit_status(self) -> int:
        if self.was_interrupted:
            return 130
        return 1 if self.refused or self.failure else 0

    def as_json(self) -> dict[str, Any]:
        return {
            "stored": self.counts[Outcome.STORED],
            "already_there": self.counts[Outcome.ALREADY_THERE],
            "new_versions": self.counts[Outcome.NEW_VERSION],
            "refused": [{"name": result.name, "reason": result.reason} for result in self.refused],
            "no_dicom": self.counts[NOT_DICOM],
            "interrupted": self.was_interrupted,
            "failure": self.failure,
        }


def run_import(
    settings: Settings,
    paths: list[Path],
    *,
    jobs: int,
    report: Path | None,
    as_json: bool,
    console: Console,
    errors: Console,
) -> int:
    """Take `paths` in, show progress and summary; returns the exit status (0, 1 refused, 130 interrupted)."""
    summary = Summary()
    try:
        archive = open_archive(settings)
    except PacsError as problem:
        errors.print(f"pacs: {problem}", style="bold red", markup=False)
        return 1
    try:
        found = _count(paths, settings, errors)
        with _report(report) as lines, _progress(errors) as progress, _interruptible(summary):
            task = progress.add_task("importing", total=len(found))
            for result in take_in(archive.ingest, found, summary, jobs=jobs):
                progress.advance(task)
                if lines is not None:
                    lines.write(json.dumps(asdict(result), ensure_ascii=False) + "\n")
    except KeyboardInterrupt:  # before the first file, or a second time
        summary.was_interrupted = True
    finally:
        archive.close()
    if as_json:
        console.print_json(json.dumps(summary.as_json()))
    else:
        _show(summary, console)
    return summary.exit_status


def take_in(ingest: Ingest, found: list[Candidate], summary: Summary, *, jobs: int) -> Iterator[FileResult]:
    """Store every candidate, `jobs` at a time, and yield each result as it is known.

    When the storage itself fails, the rest is left: sending more into a full disk helps nobody. So it is when
    `summary.was_interrupted` becomes true.
    """
    stop = threading.Event()
    waiting: set[Future[FileResult]] = set()
    rest = iter(found)
    with ThreadPoolExecutor(jobs, thread_name_prefix="import") as pool:
        try:
            while True:
                while len(waiting) < 2 * jobs and not summary.is_over and (candidate := next(rest, None)) is not None:
                    waiting.add(pool.submit(_take_one, ingest, candidate, stop))
                if not waiting:
                    return
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    try:
                        result = future.result()
                    except StorageError as problem:
                        summary.failure = str(problem)
                        continue
                    summary.add(result)
                    yield result
        finally:
            stop.set()
            for future in waiting:
                future.cancel()


def _take_one(ingest: Ingest, candidate: Candidate, stop: threading.Event) -> FileResult:
    if candidate.refusal:
        return FileResult(candidate.name, REFUSED, candidate.refusal)
    if stop.is_set():
        return FileResult(candidate.name, REFUSED, "the import was interrupted before it")
    source = Source(Principal("import"), "import", candidate.name)
    try:
        with candidate.open() as buffer:
            stored = ingest.store_file(source, buffer)
    except NotDicom as problem:
        return FileResult(candidate.name, NOT_DICOM, str(problem))
    except StorageError:
        raise
    except PacsError as problem:
        return FileResult(candidate.name, REFUSED, str(problem))
    except OSError as problem:
        return FileResult(candidate.name, REFUSED, f"cannot be read: {problem.strerror or problem}")
    except Exception as problem:  # noqa: BLE001 -- one odd file must not end the import of the others
        log.failure("import failed", problem, file=candidate.name)
        return FileResult(candidate.name, REFUSED, f"an error of the archive itself: {type(problem).__name__}")
    return FileResult(candidate.name, stored.outcome)


def _count(paths: list[Path], settings: Settings, errors: Console) -> list[Candidate]:
    with errors.status("looking for files ..."):
        return list(candidates(paths, settings.ingest.max_instance_bytes))


@contextmanager
def _interruptible(summary: Summary) -> Iterator[None]:
    """The first Ctrl-C ends the import after the files in hand; a second one ends it at once."""

    def interrupt(_signal: int, _frame: Any) -> None:
        if summary.was_interrupted:
            raise KeyboardInterrupt
        summary.was_interrupted = True

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _report(path: Path | None) -> AbstractContextManager[IO[str] | None]:
    return nullcontext() if path is None else path.open("w", encoding="utf-8")


def _progress(errors: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("files"),
        TimeRemainingColumn(),
        console=errors,
    )


def _show(summary: Summary, console: Console) -> None:
    def say(text: str, style: str = "") -> None:
        console.print(
            "\n".join(map(log.harmless, text.split("\n"))),
            style=style or None,
            markup=False,
            highlight=False,
            soft_wrap=True,
        )

    say(f"stored          {summary.counts[Outcome.STORED]:>8,}")
    say(f"already there   {summary.counts[Outcome.ALREADY_THERE]:>8,}")
    if summary.counts[Outcome.NEW_VERSION]:
        say(f"new versions    {summary.counts[Outcome.NEW_VERSION]:>8,}")
    say(f"refused         {len(summary.refused):>8,}", "red" if summary.refused else "")
    if summary.counts[NOT_DICOM]:
        say(f"no DICOM        {summary.counts[NOT_DICOM]:>8,}  (left alone)")
    for result in summary.refused[:_SHOWN_REFUSALS]:
        say(f"  {result.name}\n    {result.reason}")
    if len(summary.refused) > _SHOWN_REFUSALS:
        say(f"  ... and {len(summary.refused) - _SHOWN_REFUSALS:,} more; --report FILE lists every one")
    if summary.failure:
        say(f"The import stopped: {summary.failure}", "bold red")
    if summary.was_interrupted:
        say("Interrupted. What is counted as stored is kept; run the same command again for the rest.", "yellow")
