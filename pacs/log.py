"""The one structured log: a line is an event with fields, JSON by default.

``log.event("instance stored", sop_instance_uid=..., bytes=...)``. Patient names, data sets, tokens and passwords are
never fields.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

_logger = logging.getLogger("pacs")
_process = "pacs"


def configure(*, process: str, format: str, level: str) -> None:  # noqa: A002
    """Send this process's events to standard error, one line each."""
    global _process  # noqa: PLW0603 -- one name per process, set once at its start
    _process = process
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if format == "json" else _Text())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    _logger.setLevel(level)
    # No line tells them, and they are looked up for each.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def event(what: str, /, *, level: int = logging.INFO, error: BaseException | None = None, **fields: Any) -> None:
    """Write one event. `error` adds its type and message, and at DEBUG its traceback."""
    if not _logger.isEnabledFor(level):
        return
    if error is not None:
        fields["error"] = f"{type(error).__name__}: {error}"
    traced = error if error is not None and (level >= logging.ERROR or _logger.isEnabledFor(logging.DEBUG)) else None
    # Not through Logger.log, which looks for the calling line of code: no line tells it.
    exc_info = (type(traced), traced, traced.__traceback__) if traced is not None else None
    record = logging.LogRecord(_logger.name, level, "", 0, what, None, exc_info)
    record.fields = fields
    _logger.handle(record)


def warning(what: str, /, **fields: Any) -> None:
    event(what, level=logging.WARNING, **fields)


def failure(what: str, /, error: BaseException, **fields: Any) -> None:
    """An error nobody expected, with its traceback."""
    event(what, level=logging.ERROR, error=error, **fields)


_HARMFUL = {
    code: f"\\u{code:04x}"
    for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}
"""Controls of terminals (C0, DEL, C1), line ends of Unicode, and what turns the direction of writing."""


def harmless(line: str) -> str:
    """`line` with everything that could move a terminal's cursor or look like another line written as an escape."""
    return line if line.isprintable() else line.translate(_HARMFUL)


def _as_fields(record: logging.LogRecord) -> dict[str, Any]:
    return getattr(record, "fields", {})


_ENCODER = json.JSONEncoder(ensure_ascii=False, default=str)


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": _process,
            "event": record.getMessage(),
            **_as_fields(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return harmless(_ENCODER.encode(line))


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = " ".join(f"{name}={value}" for name, value in _as_fields(record).items())
        time = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        line = f"{time} {record.levelname:7} {_process:10} {record.getMessage()} {fields}".rstrip()
        # One event is one line, whatever a peer put into a field.
        line = harmless(line.replace("\r", "\\r").replace("\n", "\\n"))
        if record.exc_info:
            line = "\n".join((line, *map(harmless, self.formatException(record.exc_info).split("\n"))))
        return line
