"""How the budgets of a running archive stand, as its `/metrics` tell it; for `pacs status`."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from http.client import HTTPException
from typing import Any, Final

from pacs.measured.kinds import KINDS, Kind
from pacs.settings import Settings

_WAIT_S: Final = 5.0
_MOST_BYTES: Final = 16 << 20
_LINE: Final = re.compile(r"(\w+)(?:\{(.*)\})? (\S+)")
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 -- asked, not listened on


def standing(settings: Settings) -> dict[str, Any]:
    """What the archive that listens at `http.host` and `http.port` tells: ``running`` and, when it does, ``since``
    (seconds since 1970), ``gives_way`` (kinds that give way now) and ``budgets``, a list by kind of what was answered.
    Else ``why`` there is nothing to tell."""
    host = _EVERYWHERE.get(settings.http.host, settings.http.host)
    address = f"{f'[{host}]' if ':' in host else host}:{settings.http.port}"
    nobody_between = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with nobody_between.open(f"http://{address}/metrics", timeout=_WAIT_S) as answer:
            text = answer.read(_MOST_BYTES).decode("utf-8", "replace")
    except urllib.error.HTTPError as problem:
        with problem:
            return {"running": True, "why": f"{address} does not tell (HTTP {problem.code}; see metrics.allow)"}
    except (OSError, HTTPException):
        return {"running": False, "why": f"nothing answers at {address}; is it started with another --http?"}
    if "pacs_budget_seconds" not in text:
        return {"running": False, "why": f"what answers at {address} is no archive of this kind"}
    return told(text, settings.budgets.give_way)


def told(text: str, give_way: tuple[str, ...]) -> dict[str, Any]:
    """`standing` of the figures in `text`; `give_way` are the kinds in the order in which they give way."""
    samples = [*_samples(text)]
    levels = [value for name, _, value in samples if name == "pacs_give_way_level"]
    starts = [value for name, _, value in samples if name == "pacs_started_at_s" and value]
    return {
        "running": True,
        "since": min(starts, default=None),
        "gives_way": list(give_way[: int(max(levels, default=0))]),
        "budgets": [one for kind in KINDS if (one := _of(kind, samples)) is not None],
    }


def lines(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """`standing` for people: a name and a sentence each."""
    if "why" in found:
        yield "budgets", found["why"]
        return
    what = {kind.name: kind.what for kind in KINDS}
    waits = [what[name] for name in found["gives_way"]]
    yield "budgets", f"{', '.join(waits)}: give way now" if waits else "nothing has to give way now"
    for one in found["budgets"]:
        answers, budget = one["answers"], one["budget_ms"]
        if budget is None or not answers:
            continue
        share = one["within_percent"]
        verdict = "kept" if share >= 99 else "NOT KEPT"
        text = f"{verdict}: {_rounded(share)} % of {answers:,} within {budget:g} ms; 99 of 100 {_bound(one['p99_ms'])}"
        if one["gave_way"]:
            text += f"; {one['gave_way']:,} refused so that others keep theirs"
        yield f"  {one['what'].partition(',')[0]}", text


def _rounded(percent: float) -> str:
    # 99.996 is not all.
    return f"{min(percent, 99.99) if percent < 100 else percent:.2f}".rstrip("0").rstrip(".")


def _bound(milliseconds: float | None) -> str:
    return "longer than any bound" if milliseconds is None else f"within {milliseconds:g} ms"


def _of(kind: Kind, samples: list[tuple[str, dict[str, str], float]]) -> dict[str, Any] | None:
    """None of what nobody has asked for and that has no budget."""
    buckets: dict[float, float] = {}
    single: dict[str, float] = {}
    for name, labels, value in samples:
        if labels.get("kind") != kind.name:
            continue
        if name == "pacs_request_seconds_bucket":  # one for each hospital
            bound = float(labels["le"])
            buckets[bound] = buckets.get(bound, 0) + value
        elif name in ("pacs_over_budget_total", "pacs_gave_way_total", "pacs_budget_seconds"):
            single[name] = value
    answers = int(max(buckets.values(), default=0))
    budget = single.get("pacs_budget_seconds")
    if budget is None and not answers:
        return None
    over = int(single.get("pacs_over_budget_total", 0))
    return {
        "kind": kind.name,
        "what": kind.what,
        "budget_ms": None if budget is None else budget * 1000,
        "answers": answers,
        "over_budget": over,
        "within_percent": None if budget is None or not answers else 100 * (answers - over) / answers,
        "p50_ms": _quantile(buckets, answers, 0.5),
        "p99_ms": _quantile(buckets, answers, 0.99),
        "gave_way": int(single.get("pacs_gave_way_total", 0)),
    }


def _quantile(buckets: Mapping[float, float], answers: int, share: float) -> float | None:
    """The lowest bound, in milliseconds, that so many kept to; None when there is none."""
    for bound, count in sorted(buckets.items()):
        if answers and count >= share * answers:
            return None if bound == float("inf") else bound * 1000
    return None


def _samples(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    for line in text.splitlines():
        match = None if line.startswith("#") else _LINE.fullmatch(line)
        if match is not None:
            yield match[1], dict(_LABEL.findall(match[2] or "")), float(match[3])
