"""`pacs attributes`: what an operator changes and sees; the archive may run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table

from pacs.attributes import Attributes
from pacs.errors import InvalidRequest, NotFound
from pacs.index import Index
from pacs.model import Level
from pacs.settings import Settings
from pacs.storage.segments import SegmentStore

_LEVELS = {"study": Level.STUDY, "series": Level.SERIES, "instance": Level.IMAGE}


def add(settings: Settings, attribute: str, level: str, out: Console) -> None:
    """Make the attribute searchable. Raises: InvalidRequest, IndexUnavailable."""
    if level not in _LEVELS:
        raise InvalidRequest(f"--level {level!r}: write study, series or instance")
    with _opened(settings) as attributes:
        is_new = attributes.add(attribute, _LEVELS[level])
    out.print(
        "From now on it is searched for; older instances are looked through in the background."
        if is_new
        else "It is searchable already.",
        highlight=False,
    )


def remove(settings: Settings, attribute: str, out: Console) -> None:
    """Make it no longer searchable. Raises: InvalidRequest, NotFound, IndexUnavailable."""
    with _opened(settings) as attributes:
        if not attributes.remove(attribute):
            raise NotFound(f"{attribute} was not made searchable; `pacs attributes list` shows what was")
    out.print("It is not searched for any more; its values are dropped in the background.", highlight=False)


def show(settings: Settings, out: Console) -> None:
    """All, and how far their values are kept. Raises: IndexUnavailable."""
    table = Table("Attribute", "Level", "Values kept", box=None)
    levels = {level: name for name, level in _LEVELS.items()}
    with _opened(settings) as attributes:
        for one in attributes.progress():
            share = 100 * one.done // one.of if one.of else 100
            state = "being removed" if one.attribute.is_removed else f"of {share} % of instances"
            table.add_row(one.attribute.name, levels[one.attribute.level], state)
    if table.row_count:
        out.print(table, highlight=False)
    else:
        out.print("No further attributes are searchable.", highlight=False)


@contextmanager
def _opened(settings: Settings) -> Iterator[Attributes]:
    data = settings.data.resolve()
    index = Index.open(settings.index_url)
    try:
        if settings.index.url is None:
            data.mkdir(mode=0o700, parents=True, exist_ok=True)
        index.migrate()
        yield Attributes(index, SegmentStore(data / "objects"))
    finally:
        index.close()
