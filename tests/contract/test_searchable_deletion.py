"""Values of searchable attributes go with what is deleted, and come back with it."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

import pytest

from pacs.attributes import Attributes
from pacs.index import stale_values
from pacs.model import Deletion, Level
from tests.contract.searchable_attributes import (
    KVP,
    find,
    send,
    work,
)
from tests.ingest.small_archive import Place


def _delete(place: Place, *uids: str) -> Deletion:
    at = datetime.now(UTC)
    deletion = Deletion(secrets.token_hex(16), "default", uids[0], *(*uids, None, None)[1:3], "x", "me", "here", at, at)
    return place.index.trash.put(deletion, lambda *_: None)


@pytest.mark.parametrize("level", [Level.SERIES, Level.STUDY])
def test_values_of_what_is_deleted_go_and_come_back_with_it(place: Place, attributes: Attributes, level: Level) -> None:
    attributes.add("KVP", level)
    for number, value in ((1, "120"), (2, "80"), (3, "120")):
        send(place, number, study=7, series="1.2.7.1", KVP=value)
    work(attributes)
    deletion = _delete(place, "1.2.7", "1.2.7.1", "1.2.3.2")
    assert find(place, Level.STUDY, (KVP, "80")) == [], "nothing of it is found from then on"
    (one,) = place.index.searchable.known()
    assert place.index.searchable.incomplete([one]) == [one], "who asks meanwhile is told"
    work(attributes)
    assert place.index.searchable.incomplete([one]) == []
    assert find(place, Level.STUDY, (KVP, "80")) == []
    assert find(place, Level.STUDY, (KVP, "120")) == ["1.2.7"]
    place.index.trash.restore("default", deletion.name, lambda *_: None)
    work(attributes)
    assert find(place, Level.STUDY, (KVP, "80")) == find(place, Level.STUDY, (KVP, "120")) == ["1.2.7"]


def test_control_otherwise_a_deleted_value_stays(
    place: Place, attributes: Attributes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stale_values, "note", lambda *_: None)
    attributes.add("KVP")
    for number, value in ((1, "120"), (2, "80")):
        send(place, number, study=7, series="1.2.7.1", KVP=value)
    work(attributes)
    _delete(place, "1.2.7", "1.2.7.1", "1.2.3.2")
    work(attributes)
    assert find(place, Level.STUDY, (KVP, "80")) == ["1.2.7"]


def test_a_study_loses_the_values_of_a_series_that_is_deleted(place: Place, attributes: Attributes) -> None:
    attributes.add("KVP", Level.STUDY)
    send(place, 1, study=7, series="1.2.7.1", KVP="120")
    send(place, 2, study=7, series="1.2.7.2", KVP="80")
    work(attributes)
    deletion = _delete(place, "1.2.7", "1.2.7.2")
    work(attributes)
    assert (find(place, Level.STUDY, (KVP, "80")), find(place, Level.STUDY, (KVP, "120"))) == ([], ["1.2.7"])
    send(place, 3, study=7, series="1.2.7.2", KVP="90")  # the same series, anew
    place.index.trash.restore("default", deletion.name, lambda *_: None)
    work(attributes)
    assert find(place, Level.STUDY, (KVP, "80")) == find(place, Level.STUDY, (KVP, "90")) == ["1.2.7"]


def test_what_is_in_the_trash_gives_no_values_to_what_stayed(place: Place, attributes: Attributes) -> None:
    for number, value in ((1, "120"), (2, "80")):
        send(place, number, study=7, series="1.2.7.1", KVP=value)
    deletion = _delete(place, "1.2.7", "1.2.7.1", "1.2.3.2")
    attributes.add("KVP")
    work(attributes)
    assert (find(place, Level.STUDY, (KVP, "80")), find(place, Level.STUDY, (KVP, "120"))) == ([], ["1.2.7"])
    place.index.trash.restore("default", deletion.name, lambda *_: None)
    work(attributes)
    assert find(place, Level.STUDY, (KVP, "80")) == ["1.2.7"]


def test_who_reads_while_more_is_deleted_reads_again(
    place: Place, attributes: Attributes, monkeypatch: pytest.MonkeyPatch
) -> None:
    attributes.add("KVP")
    for number, value in ((1, "120"), (2, "80"), (3, "90")):
        send(place, number, study=7, series="1.2.7.1", KVP=value)
    work(attributes)
    _delete(place, "1.2.7", "1.2.7.1", "1.2.3.2")
    values = Attributes._values

    def meanwhile(self: Attributes, *given: Any) -> Any:
        monkeypatch.undo()
        _delete(place, "1.2.7", "1.2.7.1", "1.2.3.3")
        return values(self, *given)

    monkeypatch.setattr(Attributes, "_values", meanwhile)
    work(attributes)
    found = [find(place, Level.STUDY, (KVP, value)) for value in ("80", "90", "120")]
    assert found == [[], [], ["1.2.7"]]


def test_what_was_deleted_while_it_was_looked_at_leaves_no_value(
    place: Place, attributes: Attributes, monkeypatch: pytest.MonkeyPatch
) -> None:
    attributes.add("KVP")
    for number, value in ((1, "120"), (2, "80")):
        send(place, number, study=7, series="1.2.7.1", KVP=value)
    values = Attributes._values

    def meanwhile(self: Attributes, *given: Any) -> Any:
        monkeypatch.undo()
        _delete(place, "1.2.7", "1.2.7.1", "1.2.3.2")
        while (again := place.index.searchable.next_stale()) is not None:  # another process is quicker
            one, stale, instances = again
            place.index.searchable.renew(one, stale, [(each, values(self, one, each)) for each in instances])
        return values(self, *given)

    monkeypatch.setattr(Attributes, "_values", meanwhile)
    work(attributes)
    assert (find(place, Level.STUDY, (KVP, "80")), find(place, Level.STUDY, (KVP, "120"))) == ([], ["1.2.7"])
