"""Claims a workitem and is killed right after the transaction of its state: `claim_and_die.py URL UID [later]`.

With ``later`` the events of a change are written in a transaction of their own, as somebody might do it who sends
messages instead of keeping state.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

from pacs.index import Index
from pacs.index.subscriptions import Event
from pacs.index.workitems import ChangedWorkitem, KeptWorkitem

REPORT = Event(1, {"00741000": {"vr": "CS", "Value": ["IN PROGRESS"]}})


def main() -> None:
    url, uid, *how = sys.argv[1:]
    index = Index.open(url)
    rows: Any = index.workitems
    in_transaction = rows._writing

    @contextlib.contextmanager
    def writing_then_dying(doing: str) -> Iterator[Any]:
        with in_transaction(doing) as connection:
            yield connection
        os.kill(os.getpid(), signal.SIGKILL)

    rows._writing = writing_then_dying
    if how == ["later"]:
        rows.subscriptions.tell = lambda *_: None  # they would be written next

    def claimed(kept: KeptWorkitem | None, _is_watched: bool) -> ChangedWorkitem:
        assert kept is not None
        return ChangedWorkitem("IN PROGRESS", "1.2", kept.attributes, [REPORT])

    index.workitems.change("default", uid, claimed)


if __name__ == "__main__":
    main()
