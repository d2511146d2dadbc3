"""What is done once before an archive serves, in a process that then ends.

It loads the whole archive (60 MB), which would stay for ever in the process that only watches the others.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from multiprocessing.connection import Connection

from pacs import log
from pacs.errors import PacsError, StorageError
from pacs.processes.start_problems import explained, require_usable_folders
from pacs.settings import InvalidSettings, Settings


def prepare(settings: Settings) -> None:
    """Look at everything that the settings name, bring the index up to date, replay what a crash left behind.

    Call before any thread is started. It ends with the caller, also when that one is killed: the folder is free then.

    Raises:
        pacs.settings.InvalidSettings: something that the settings name cannot be used.
        StorageError: folder or database cannot be used; the log says more.
    """
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_prepare, args=(settings, ours, theirs), name="prepare")
    process.start()
    theirs.close()
    try:
        problem: InvalidSettings | StorageError | None = ours.recv()
    except EOFError:
        problem = StorageError("the archive could not be prepared; the lines above say why")
    finally:
        ours.close()
        process.join()
    if problem is not None:
        raise problem


def _prepare(settings: Settings, of_caller: Connection, answer: Connection) -> None:
    of_caller.close()
    threading.Thread(target=_end_with_caller, args=(answer,), name="caller", daemon=True).start()
    from pacs.app import check, open_archive  # noqa: PLC0415 -- the parent must not load it

    try:
        check(settings)
        require_usable_folders(settings)
        # What a crash left behind is made whole before the first peer is heard.
        open_archive(settings).close()
    except InvalidSettings as problem:
        answer.send(InvalidSettings(str(problem)))
    except PacsError as problem:
        why = explained(problem, settings)
        log.warning("cannot start", why=why, error=problem)
        answer.send(StorageError(why))
    else:
        answer.send(None)


def _end_with_caller(answer: Connection) -> None:
    """Nothing comes from the caller but, when it is gone, the end."""
    try:
        answer.recv()
    except (EOFError, OSError):
        os._exit(1)
