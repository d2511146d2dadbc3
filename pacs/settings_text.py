"""The settings as TOML text, each with the sentence that explains it."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from sqlalchemy.engine import make_url

from pacs.settings import Settings


def as_toml(settings: Settings) -> str:
    """Every key with its value and its reason; a password in an index URL is shown as ``***``."""
    lines: list[str] = []
    sections: list[tuple[str, BaseModel]] = []
    reasons = _reasons(Settings)
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            sections.append((name, value))
        else:
            lines += _key(name, value, reasons)
    for name, section in sections:
        lines += [
            "",
            *(f"# {line}" for line in inspect.cleandoc(type(section).__doc__ or "").splitlines()),
            f"[{name}]",
        ]
        reasons = _reasons(type(section))
        tables: list[str] = []
        for key in type(section).model_fields:
            value = getattr(section, key)
            if isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
                for item in value:
                    tables += ["", f"[[{name}.{key}]]"]
                    for inner in type(item).model_fields:
                        if getattr(item, inner) is not None:
                            tables += _key(inner, getattr(item, inner), {})
            elif isinstance(value, BaseModel):
                tables += ["", f"[{name}.{key}]"]
                for inner in type(value).model_fields:
                    tables += _key(inner, getattr(value, inner), _reasons(type(value)))
            else:
                lines += _key(key, value, reasons)
        lines += tables
    return "\n".join(lines) + "\n"


def _key(name: str, value: Any, reasons: dict[str, str]) -> list[str]:
    comment = [f"# {line}" for line in reasons.get(name, "").splitlines()]
    if value is None:
        return [*comment, f"# {name} ="]
    return [*comment, f"{name} = {_value(name, value)}"]


def _value(name: str, value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{json.dumps(key)} = {json.dumps(text, ensure_ascii=False)}" for key, text in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, tuple):
        return json.dumps(value, ensure_ascii=False)
    if name == "url":
        return json.dumps(make_url(value).render_as_string(hide_password=True))
    if isinstance(value, Path):
        return json.dumps(str(value))
    return json.dumps(value, ensure_ascii=False)


def _reasons(model: type[BaseModel]) -> dict[str, str]:
    """The docstrings that stand below the fields in the source."""
    source = inspect.getsource(model)
    found = re.finditer(r'^    (\w+):[^\n]*\n    """(.*?)"""', source, re.DOTALL | re.MULTILINE)
    return {match[1]: inspect.cleandoc(match[2]) for match in found}
