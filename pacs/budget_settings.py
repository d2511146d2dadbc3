"""Settings of what requests may take, and of who may see it; sections of `pacs.settings.Settings`."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

KindThatGivesWay = Literal[
    "export",
    "rendered",
    "study_metadata",
    "search_infix",
    "bulk_data",
    "frame_transcoded",
    "instance",
    "search",
    "other",
]
"""Of `pacs.measured.kinds`: who asks for these can come again without harm."""


def _checked_network(text: str) -> str:
    ipaddress.ip_network(text)
    return text


Network = Annotated[str, AfterValidator(_checked_network)]
"""``10.0.0.7`` or ``10.0.0.0/24``."""


_AT_ONCE: dict[KindThatGivesWay, int] = {
    "export": 8,
    "rendered": 8,
    "study_metadata": 4,
    "search_infix": 4,
    "bulk_data": 8,
}


class BudgetSettings(BaseModel):
    """How long each kind of request may take, in milliseconds: from the last byte of the request to the first byte of
    the answer, for 99 of 100. Measured, shown at ``/metrics``, and defended: while one that matters burns, kinds of
    `give_way` are answered one at a time. 0: no budget."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    frame: Annotated[float, Field(ge=0)] = 10.0
    """As stored, 512 KB, 16 connections."""
    frame_transcoded: Annotated[float, Field(ge=0)] = 20.0
    thumbnail: Annotated[float, Field(ge=0)] = 5.0
    metadata: Annotated[float, Field(ge=0)] = 20.0
    """Of a settled series of 1,000 instances."""
    study_metadata: Annotated[float, Field(ge=0)] = 100.0
    search: Annotated[float, Field(ge=0)] = 5.0
    """By key at 1,000,000 studies; so is `c_find`."""
    search_infix: Annotated[float, Field(ge=0)] = 25.0
    rendered: Annotated[float, Field(ge=0)] = 50.0
    instance: Annotated[float, Field(ge=0)] = 20.0
    export: Annotated[float, Field(ge=0)] = 200.0
    """A study of 1,000 instances is looked up before its first byte leaves."""
    bulk_data: Annotated[float, Field(ge=0)] = 20.0
    store: Annotated[float, Field(ge=0)] = 100.0
    """After the last byte of the body; its last instances are made durable then."""
    page: Annotated[float, Field(ge=0)] = 50.0
    other: Annotated[float, Field(ge=0)] = 0.0
    event_loop: Annotated[float, Field(ge=0)] = 10.0
    """How late a web process may look after its connections: time that no request can see, and every one waits."""
    c_store: Annotated[float, Field(ge=0)] = 10.0
    """The durable acknowledgement of 512 KB, 4 associations."""
    c_find: Annotated[float, Field(ge=0)] = 5.0
    c_find_infix: Annotated[float, Field(ge=0)] = 25.0
    commitment: Annotated[float, Field(ge=0)] = 50.0
    c_echo: Annotated[float, Field(ge=0)] = 5.0
    defended: tuple[str, ...] = ("frame", "thumbnail", "metadata", "event_loop", "c_store")
    """Kinds whose burning makes others give way. They never do so themselves, nor does storing."""
    give_way: tuple[KindThatGivesWay, ...] = ("export", "rendered", "study_metadata", "search_infix", "bulk_data")
    """Which kinds give way while a defended budget burns: each web process answers one of a kind at a time, others are
    refused (503, Retry-After). The first kind first, each further one when that was not enough. Empty: none does."""
    burning_share: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Of the last `window_s` seconds' answers of a kind that were over its budget, from which on it burns. A budget is
    for 99 of 100, so it is calm again below a hundredth."""
    least_answers: Annotated[int, Field(ge=1)] = 20
    """In the window: fewer say nothing. While nobody asks for what is defended, an `event_loop` that is late harms
    nobody."""
    window_s: Annotated[float, Field(ge=0.5, le=600)] = 5.0
    calm_s: Annotated[float, Field(ge=0.5, le=600)] = 5.0
    """So long all must be calm until the kind that gave way last is let in again; if that burns soon, twice as long
    the next time, at most `longest_calm_s`."""
    longest_calm_s: Annotated[float, Field(ge=0.5, le=3600)] = 60.0
    at_once: dict[KindThatGivesWay, Annotated[int, Field(ge=1)]] = _AT_ONCE
    """Requests of a kind that are answered at a time in each web process, whether or not a budget burns."""
    waiting: Annotated[int, Field(ge=0)] = 64
    """Of each such kind, further ones that wait for their turn; one more is refused with 503."""
    wait_s: Annotated[float, Field(gt=0)] = 10.0
    """Nobody waits longer; then it is 503."""

    @model_validator(mode="after")
    def _defends_what_it_knows(self) -> BudgetSettings:
        for name in self.defended:
            if not getattr(self, name, None) or not isinstance(getattr(self, name), float):
                raise ValueError(f"defended names {name!r}, which has no budget here")
        if both := set(self.defended) & set(self.give_way):
            raise ValueError(f"{', '.join(sorted(both))} cannot be defended and give way")
        return self


class MetricsSettings(BaseModel):
    """``/metrics``: figures for Prometheus. They tell no patient and no UID, but how busy a hospital is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    allow: tuple[Network, ...] | None = None
    """Addresses or networks that may ask, directly and not through a proxy. Absent: this machine, and nobody while
    ``http.behind_authenticating_proxy`` is true, as a proxy on this machine would let everybody in."""
