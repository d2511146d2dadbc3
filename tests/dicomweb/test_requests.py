"""What is read from an ASGI scope."""

from __future__ import annotations

import pytest

from pacs.dicomweb.accept import MediaRange
from pacs.dicomweb.requests import accepted_by, accepted_by_search, client_of, is_not_modified
from pacs.errors import InvalidRequest


def test_accept_from_header_and_query() -> None:
    headers = [(b"accept", b"image/png"), (b"accept", b"image/jpeg;q=0.5")]
    scope = {"headers": headers, "query_string": b""}
    assert [accepted.media_type for accepted in accepted_by(scope)] == ["image/png", "image/jpeg"]
    scope = {"headers": headers, "query_string": b"x=1&accept=application/dicom%2Bjson&accept=image/gif"}
    found = accepted_by(scope)
    assert [each.media_type for each in found if not each.is_second] == ["application/dicom+json", "image/gif"]
    assert [each.media_type for each in found if each.is_second] == ["image/png", "image/jpeg"]
    assert accepted_by({"headers": [], "query_string": b"accept="}) == (MediaRange("*/*"),)


def test_accept_may_be_spelled_with_escapes() -> None:
    scope = {"headers": [(b"accept", b"image/png")], "query_string": b"x=1&%61cc%65pt=image/gif"}
    assert [each.media_type for each in accepted_by(scope) if not each.is_second] == ["image/gif"]


def test_accept_of_a_search_stands_among_as_many_parameters_as_a_search_has() -> None:
    headers = [(b"accept", b"image/png"), (b"accept", b"image/jpeg")]
    scope = {"headers": headers, "query_string": b"&" * 3000 + b"&".join([b"includefield=1"] * 300)}
    assert [accepted.media_type for accepted in accepted_by_search(scope)] == ["image/png", "image/jpeg"]
    scope["query_string"] += b"&accept=application/dicom+json&accept=image/gif&accept="
    found = accepted_by_search(scope)
    assert [each.media_type for each in found if not each.is_second] == ["application/dicom+json", "image/gif"]


def test_too_many_parameters() -> None:
    with pytest.raises(InvalidRequest):
        accepted_by({"headers": [], "query_string": b"a=1&" * 200})
    as_many_as_may_be = b"&".join([b"a=1"] * 100)
    assert accepted_by({"headers": [], "query_string": as_many_as_may_be}) == (MediaRange("*/*"),)
    with pytest.raises(InvalidRequest):
        accepted_by({"headers": [], "query_string": as_many_as_may_be + b"&a=1"})


def test_if_none_match() -> None:
    assert is_not_modified({"headers": [(b"if-none-match", b'"t"')]}, '"t"')
    assert not is_not_modified({"headers": []}, '"t"')


def test_clients_are_told_apart_by_address_and_what_they_say() -> None:
    def client(address: str, *headers: tuple[bytes, bytes]) -> str:
        return client_of({"client": (address, 1234), "headers": list(headers)})

    tells = [client("10.0.0.1"), client("10.0.0.2"), client("10.0.0.1", (b"user-agent", b"OHIF"))]
    tells += [client("10.0.0.9", (b"x-forwarded-for", one)) for one in (b"10.1.0.1", b"10.1.0.2")]
    assert len(set(tells)) == len(tells)
    assert client("10.0.0.1", (b"accept", b"*/*"), (b"user-agent", b"OHIF")) == tells[2]
    assert client_of({"client": None, "headers": []}) == ""
