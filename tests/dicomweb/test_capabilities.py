"""What the service says it can is what its routes do."""

from __future__ import annotations

import asyncio
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.dicomweb.served import ServedDoor, served_door

_WADL = "{http://wadl.dev.java.net/2009/02}"
_PAGE = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text(encoding="utf-8")
_EXAMPLES = {"frames": "1", "frame": "1", "path": "7FE00010", "number": "1"}


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedDoor]:
    with served_door(tmp_path_factory.mktemp("capabilities")) as door:
        yield door


def statement(door: ServedDoor) -> dict[str, Any]:
    answer = door.client.get("/conformance")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    found: dict[str, Any] = answer.json()
    return found


def example(template: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda name: _EXAMPLES.get(name[1], "1.2.3"), template)


def test_it_says_nothing_that_the_conformance_statement_for_people_does_not(door: ServedDoor) -> None:
    told = {f"{each['method']} {one['path']}" for one in statement(door)["resources"] for each in one["transactions"]}
    section = _PAGE.partition("## DICOMweb")[2]
    written = set(re.findall(r"^\| `((?:GET|POST|DELETE|PUT) [^`]+)` \|", section, re.MULTILINE))
    assert len(told) > 20
    assert told <= written


def test_every_route_that_is_told_answers_and_no_other_does(door: ServedDoor) -> None:
    no_route = door.client.get("/made/up").json()["error"]
    for resource in statement(door)["resources"]:
        path = example(resource["path"])
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH"):
            answer = door.client.request(method, path)
            is_told = method in resource["methods"]
            assert (answer.status_code == 405) is not is_told, (method, path)
            if answer.status_code == 404 and method != "HEAD":
                assert answer.json()["error"] != no_route, (method, path)
            if answer.status_code == 405:
                assert set(answer.headers["allow"].split(", ")) - {"OPTIONS"} == set(resource["methods"]) - {"OPTIONS"}


def test_options_on_a_resource_allows_what_the_statement_says(door: ServedDoor) -> None:
    for resource in statement(door)["resources"]:
        answer = door.client.options(example(resource["path"]))
        assert answer.status_code == 204
        allowed = answer.headers["allow"].split(", ")
        assert set(resource["methods"]) <= set(allowed)
        assert "server-timing" in answer.headers
    missing = door.client.options("/made/up")
    assert missing.status_code == 404
    assert missing.json()["hint"]


@pytest.mark.parametrize("path", ["/", ""])
def test_options_on_the_service_is_wadl(door: ServedDoor, path: str) -> None:
    answer = door.client.options(path or "/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/vnd.sun.wadl+xml"
    root = ET.fromstring(answer.content)
    assert root.tag == f"{_WADL}application"
    (resources,) = root.findall(f"{_WADL}resources")
    assert resources.attrib["base"] == f"{door.base}/"
    told = {
        f"{method.attrib['name']} /{resource.attrib['path']}"
        for resource in resources
        for method in resource.findall(f"{_WADL}method")
    }
    assert {route for route in told if not route.startswith("OPTIONS")} == {
        f"{each['method']} {one['path']}" for one in statement(door)["resources"] for each in one["transactions"]
    }
    frames = [each for each in resources if each.attrib["path"].endswith("/frames/{frames}")]
    assert {param.attrib["name"] for param in frames[0].findall(f"{_WADL}param")} == {
        "study",
        "series",
        "instance",
        "frames",
    }


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("*/*", "application/vnd.sun.wadl+xml"),
        ("application/json", "application/json"),
        ("application/xml", "application/xml"),
        ("application/json;q=0.5, application/vnd.sun.wadl+xml;q=0.9", "application/vnd.sun.wadl+xml"),
    ],
)
def test_in_the_form_that_is_asked_for(door: ServedDoor, accept: str, expected: str) -> None:
    assert door.client.options("/", headers={"Accept": accept}).headers["content-type"] == expected


def test_in_no_other_form(door: ServedDoor) -> None:
    answer = door.client.options("/", headers={"Accept": "image/png"})
    assert answer.status_code == 406
    assert answer.json()["error"]


def test_no_other_sites_page_is_let_in_by_a_preflight(door: ServedDoor) -> None:
    asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    answer = door.client.options("/studies", headers=asked)
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_many_who_ask_first_get_it_whole(door: ServedDoor) -> None:
    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=door.base) as client:
            return await asyncio.gather(*(client.get("/conformance") for _ in range(10)))

    answers = asyncio.run(ask())
    assert len({answer.content for answer in answers}) == 1
