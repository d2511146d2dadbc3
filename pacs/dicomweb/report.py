"""Structured reports as text for people (PS3.3 §A.35, §C.17.3): an outline of their content tree. Pure.

Every value comes from outside and is text only: whoever makes HTML of it escapes all of it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pacs.errors import NotAcceptable, PacsError
from pacs.part10.header import Header

FORM = "1"
"""To be raised with every change of the text that is made: part of its entity tag."""
MAX_ITEMS = 50_000
MAX_DEPTH = 64
_MAX_TEXT = 100_000

_CONTENT_SEQUENCE, _CONCEPT_NAME, _VALUE_TYPE = 0x0040A730, 0x0040A043, 0x0040A040
_DATE = re.compile(r"(\d{4})(\d\d)(\d\d)\Z")
_TIME = re.compile(r"(\d\d)(\d\d)(?:(\d\d)(?:\.\d+)?)?\Z")
_MOMENT = re.compile(r"(\d{8})(\d{4,6})")


@dataclass(frozen=True, slots=True)
class Line:
    """One content item."""

    depth: int
    """0 for the items of the document itself."""
    name: str
    value: str
    is_container: bool = False
    reference: tuple[str, str] | None = None
    """SOP class and instance UIDs of what the item refers to."""


@dataclass(frozen=True, slots=True)
class Report:
    """A document's head and its outline."""

    title: str
    head: tuple[tuple[str, str], ...]
    lines: tuple[Line, ...]


def report(header: Header) -> Report:
    """Read a structured report, or a key object selection, which is one.

    Raises:
        NotAcceptable: more items or levels than are shown, or a content tree that cannot be walked.
    """
    try:
        lines = tuple(_content(header, 0, [MAX_ITEMS]))
    except PacsError as problem:
        raise NotAcceptable(f"the report cannot be read; retrieve it as application/dicom: {problem}") from problem
    person = [re.sub(r"\^+", " ", group).strip() for group in (header.text(0x00100010) or "").split("=")]
    verifier = next((item.text(0x0040A075) for item in header.items(0x0040A073)[:1]), None)
    head = (
        ("Patient", "  ".join(group for group in person if group)),
        ("Patient ID", header.text(0x00100020) or ""),
        ("Birth date", _date(header.text(0x00100030) or "")),
        ("Sex", header.text(0x00100040) or ""),
        ("Institution", header.text(0x00080080) or ""),
        ("Study", "  ".join(part for part in (_date(header.text(0x00080020) or ""), header.text(0x00081030)) if part)),
        ("Accession number", header.text(0x00080050) or ""),
        ("Content date", _date(header.text(0x00080023) or "") + " " + _time(header.text(0x00080033) or "")),
        ("Completion", header.text(0x0040A491) or ""),
        ("Verification", header.text(0x0040A493) or ""),
        ("Verified by", re.sub(r"\^+", " ", verifier or "").strip()),
    )
    title = _code(header, _CONCEPT_NAME) or "Structured report"
    return Report(title, tuple((name, value.strip()) for name, value in head if value.strip()), lines)


def as_html(document: Report) -> str:
    """A page that needs nothing else, and holds no address, script or markup of the report."""
    head = "".join(f"<tr><th>{_escaped(name)}</th><td>{_escaped(value)}</td></tr>" for name, value in document.head)
    lines = "".join(
        f'<div class="{"c" if line.is_container else "i"}" style="margin-left:{1.5 * min(line.depth, 20):g}em">'
        f"<b>{_escaped(line.name)}</b>{': ' if line.name and line.value else ''}{_escaped(line.value)}</div>\n"
        for line in document.lines
    )
    title = _escaped(document.title)
    return (
        '<!DOCTYPE html>\n<html><head><meta charset="utf-8"><title>'
        f"{title}</title><style>{_STYLE}</style></head>\n<body><h1>{title}</h1>\n<table>{head}</table>\n{lines}"
        "</body></html>\n"
    )


def as_text(document: Report) -> str:
    """The same as plain text."""
    head = [f"{name}: {_one_line(value)}" for name, value in document.head]
    lines = [
        "  " * min(line.depth, 20) + ": ".join(part for part in (line.name, line.value) if part)
        for line in document.lines
    ]
    return "\n".join([document.title, "", *head, "", *map(_plain, lines)]) + "\n"


_STYLE = (
    "body{font-family:sans-serif;max-width:60em;margin:2em auto;padding:0 1em;line-height:1.4}"
    "th{text-align:left;padding-right:1em;font-weight:normal;color:#555}"
    ".c{margin-top:.8em;font-size:1.05em}.i{white-space:pre-wrap;overflow-wrap:anywhere}"
)


def _content(header: Header, depth: int, left: list[int]) -> Iterator[Line]:
    if depth > MAX_DEPTH:
        raise NotAcceptable(f"more than {MAX_DEPTH} levels")
    for item in header.items(_CONTENT_SEQUENCE):
        left[0] -= 1
        if left[0] < 0:
            raise NotAcceptable(f"more than {MAX_ITEMS} content items")
        kind = (item.text(_VALUE_TYPE) or "").upper()
        name, value = _code(item, _CONCEPT_NAME), _value(item, kind)
        if name or value or kind == "CONTAINER":
            yield Line(depth, name, value, kind == "CONTAINER")
        yield from _content(item, depth + 1, left)


def _value(item: Header, kind: str) -> str:
    if kind == "NUM":
        return _measured(item)
    if kind == "CODE":
        return _code(item, 0x0040A168)
    if kind in {"IMAGE", "COMPOSITE", "WAVEFORM"}:
        return "; ".join(_reference(each, kind) for each in item.items(0x00081199)[:100])
    if kind in {"SCOORD", "SCOORD3D"}:
        numbers = item.numbers(0x00700022)
        shown = ", ".join(f"{number:g}" for number in numbers[:12])
        return f"{item.text(0x00700023) or ''} {shown}{' ...' if len(numbers) > 12 else ''}".strip()
    if kind == "PNAME":
        return re.sub(r"\^+", " ", item.text(0x0040A123) or "").replace("=", "  ").strip()
    tags = {
        "TEXT": 0x0040A160, "DATE": 0x0040A121, "TIME": 0x0040A122, "DATETIME": 0x0040A120, "UIDREF": 0x0040A124,
    }  # fmt: skip
    if kind not in tags:
        return ""
    text = (item.text(tags[kind]) or "")[:_MAX_TEXT]
    return {"DATE": _date, "TIME": _time, "DATETIME": _moment}.get(kind, str)(text)


def _measured(item: Header) -> str:
    values = item.items(0x0040A300)
    if not values:
        return _code(item, 0x0040A301) or "no value"
    unit = _code_value(values[0], 0x004008EA)
    return f"{values[0].text(0x0040A30A) or ''} {'' if unit == '1' else unit}".strip()


def _reference(item: Header, kind: str) -> str:
    frames = ", ".join(f"{number:g}" for number in item.numbers(0x00081160)[:50])
    return f"{kind.lower()} {item.uid(0x00081155) or ''}{f', frames {frames}' if frames else ''}"


def _code(item: Header, sequence: int) -> str:
    """Code Meaning of the first item."""
    return next((each.text(0x00080104) or _code_value(item, sequence) for each in item.items(sequence)[:1]), "")


def _code_value(item: Header, sequence: int) -> str:
    for each in item.items(sequence)[:1]:
        return next((text for tag in (0x00080100, 0x00080119, 0x00080120) if (text := each.text(tag))), "")
    return ""


def _date(text: str) -> str:
    match = _DATE.match(text)
    return "-".join(match.groups()) if match else text


def _time(text: str) -> str:
    match = _TIME.match(text)
    return ":".join(part for part in match.groups() if part) if match else text


def _moment(text: str) -> str:
    match = _MOMENT.match(text)
    return f"{_date(match[1])} {_time(match[2])}" if match else _date(text)


def _escaped(text: str) -> str:
    return html.escape(_plain(text), quote=True)


def _plain(text: str) -> str:
    """Without control characters other than line breaks."""
    return "".join(character for character in text.replace("\r\n", "\n") if character >= " " or character in "\n\t")


def _one_line(text: str) -> str:
    return " ".join(text.split())
