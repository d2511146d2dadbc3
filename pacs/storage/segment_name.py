"""Names of segments: ``<hospital>/<time and random number in hex>``, made here and checked before they touch a path."""

from __future__ import annotations

import re
import secrets
import time
from pathlib import Path

from pacs.errors import InvalidIdentity, NotFound

SUFFIX = ".tar"
_HOSPITAL = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_SEGMENT = re.compile(r"[A-Za-z0-9_-]{1,64}/[0-9a-f]{32}\Z")


def checked_hospital(hospital: str) -> str:
    """Return `hospital` when it can name a folder.

    Raises:
        InvalidIdentity: anything but 1 to 64 ASCII letters, digits, ``-`` and ``_``.
    """
    if not _HOSPITAL.match(hospital):
        raise InvalidIdentity(f"hospital {hospital[:80]!r} is no name: use 1 to 64 letters, digits, '-' and '_'")
    return hospital


def new_segment(hospital: str) -> str:
    """A name that no other writer has: milliseconds since 1970, so that names sort by age, and 80 random bits."""
    return f"{checked_hospital(hospital)}/{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"


def segment_path(root: Path, segment: str) -> Path:
    """The file of `segment` under `root`.

    Raises:
        NotFound: `segment` is no name of ours.
    """
    if not _SEGMENT.match(segment):
        raise NotFound(f"no segment is named {segment[:120]!r}")
    return root / f"{segment}{SUFFIX}"


def segments_under(root: Path) -> list[str]:
    """Names of all segments under `root`, oldest first in each hospital."""
    if not root.is_dir():
        return []
    found = (f"{path.parent.name}/{path.stem}" for path in root.glob(f"*/*{SUFFIX}") if path.is_file())
    return sorted(name for name in found if _SEGMENT.match(name))
