"""Which hot route a URL path belongs to, found without trying them one after the other."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from starlette.types import ASGIApp


class HotRoutes:
    """Finds the hot route of a URL path. Only paths that no other route shares, whatever the method, belong here."""

    def __init__(self, routes: Mapping[str, ASGIApp]) -> None:
        """`routes` by path template, such as ``/studies/{study}``; ``{path}`` at the end alone takes slashes."""
        self._by_end: dict[tuple[int, str], list[_Template]] = {}
        """By number of steps and the last one; that is empty where it is a parameter."""
        self._of_any_length: list[tuple[re.Pattern[str], ASGIApp]] = []
        for template, route in routes.items():
            if template.endswith("{path}"):
                self._of_any_length.append((re.compile(_pattern(template)), route))
                continue
            found = _Template.of(template, route)
            end = "" if found.names[-1][0] == found.steps - 1 else template.rpartition("/")[2]
            self._by_end.setdefault((found.steps, end), []).append(found)

    def find(self, path: str) -> tuple[ASGIApp, dict[str, str]] | None:
        """The route and its path parameters; None when another route has to answer."""
        steps = path.split("/")
        count = len(steps)
        for template in (*self._by_end.get((count, steps[-1]), ()), *self._by_end.get((count, ""), ())):
            found = template.parameters(steps)
            if found is not None:
                return template.route, found
        for pattern, route in self._of_any_length:
            match = pattern.fullmatch(path)
            if match is not None:
                return route, match.groupdict()
        return None


class _Template(NamedTuple):
    """A path of so many steps."""

    steps: int
    words: tuple[tuple[int, str], ...]
    """Steps that are always the same, by their place."""
    names: tuple[tuple[int, str], ...]
    """Those of parameters, which take any step that is not empty."""
    route: ASGIApp

    @classmethod
    def of(cls, template: str, route: ASGIApp) -> _Template:
        steps = template.split("/")
        words = tuple((place, step) for place, step in enumerate(steps) if not step.startswith("{"))
        names = tuple((place, step[1:-1]) for place, step in enumerate(steps) if step.startswith("{"))
        return cls(len(steps), words, names, route)

    def parameters(self, steps: Sequence[str]) -> dict[str, str] | None:
        """Of a path of as many steps; None when it is another path."""
        for place, word in self.words:
            if steps[place] != word:
                return None
        found = {name: steps[place] for place, name in self.names}
        return found if all(found.values()) else None


def _pattern(template: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda name: f"(?P<{name[1]}>{'.+' if name[1] == 'path' else '[^/]+'})", template)
