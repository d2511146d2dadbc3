"""The operator's page names events that the code writes."""

from __future__ import annotations

import re
from pathlib import Path

_ROOT = Path(__file__).parents[2]


def test_the_events_are_those_written() -> None:
    page = (_ROOT / "docs" / "operate.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"^\| event \|.*\n((?:\|.*\n)+)", page, re.MULTILINE)
    events = re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
    code = "\n".join(path.read_text(encoding="utf-8") for path in (_ROOT / "pacs").rglob("*.py"))
    assert events
    assert [event for event in events if f'"{event}"' not in code] == []
