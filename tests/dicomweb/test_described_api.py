"""The door does what its OpenAPI description says, whatever it is asked (schemathesis)."""

from __future__ import annotations

import os
import re
from typing import Any

import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.applications import Starlette

from pacs.dicomweb.app import dicomweb_app
from pacs.dicomweb.resources import ResourceKey
from pacs.portal.front import Front
from tests.dicomweb.served import DoorInMemory, image

CONFORMS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
SOAK = bool(os.environ.get("PACS_SOAK"))
EXAMPLES = 1000 if SOAK else 3
"""Of each operation with right values, and as many with wrong ones."""
INTERNALS = re.compile(
    r"sqlite|sqlalchemy|psycopg|traceback|\bselect\b.*\bfrom\b|no such (table|column)|pacs/\w+\.py", re.IGNORECASE
)
Operation = APIOperation[Any, Any, Any, Any]


@pytest.fixture(scope="module")
def operations(door: DoorInMemory) -> list[Operation]:
    # As the composition root has it: Starlette's own mounts do not take a path with a line break.
    app = Front(Starlette(), "/dicomweb", dicomweb_app(door.ingest, door.search, door.retrieve))
    schema = schemathesis.openapi.from_asgi("/dicomweb/openapi.json", app)
    return [result.ok() for result in schema.get_all_operations()]


@pytest.fixture(scope="module")
def kept(door: DoorInMemory) -> list[ResourceKey]:
    """One frame, three frames, and no image."""
    frames = np.arange(3 * 16 * 24, dtype="<u2").tobytes()
    return [
        door.keep(image()),
        door.keep(image(NumberOfFrames=3, PixelData=frames)),
        door.keep(image(PixelData=None, Modality="SR", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11")),
    ]


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_operation_answers_as_described(
    operations: list[Operation], kept: list[ResourceKey], mode: GenerationMode
) -> None:
    for operation in operations:
        try:
            conforms(operation.as_strategy(generation_mode=mode), kept)
        except Unsatisfiable:
            assert not [*operation.iter_parameters()], f"{operation.label} has parameters, so some values are wrong"
        except Exception as error:
            error.add_note(f"of {operation.label}, {mode.value} values")
            raise


def conforms(cases: st.SearchStrategy[schemathesis.Case], kept: list[ResourceKey]) -> None:
    @given(case=cases, key=st.one_of(st.none(), st.sampled_from(kept)))
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=not SOAK,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink] if SOAK else [Phase.generate],
    )
    def check(case: schemathesis.Case, key: ResourceKey | None) -> None:
        if key is not None:
            aim_at(case, key)
        response = case.call()
        case.validate_response(response, checks=CONFORMS)
        if "json" not in response.headers.get("content-type", [""])[0]:
            return
        assert not INTERNALS.search(response.text), response.text[:500]
        if response.status_code == 400 and case.method == "GET":
            assert is_named(case, response.json()["error"]), response.text[:500]

    check()


def aim_at(case: schemathesis.Case, key: ResourceKey) -> None:
    """At what is kept: UIDs that nobody has are answered with 404 before anything else happens."""
    uids = (key.study_instance_uid, key.series_instance_uid, key.sop_instance_uid)
    for place, names in (
        (case.path_parameters, ("study", "series", "instance")),
        (case.query, ("studyUID", "seriesUID", "objectUID")),
    ):
        place.update({name: uid for name, uid in zip(names, uids, strict=True) if name in place})


def is_named(case: schemathesis.Case, error: str) -> bool:
    """Whether an error tells which part of the request it is about."""
    of_path = ("in the URL", "frame list", "Frame numbers", "bulk data path", "version", "One picture")
    # Letters that nobody could read are told by their escapes.
    of_query = {name: repr(name)[1:-1] if name != "accept" else "Accept" for name in case.query}
    missing = ("requestType", "studyUID", "seriesUID", "objectUID") if case.path.endswith("/wado") else ()
    return any(word in error for word in (*of_path, *of_query.values(), *missing, "query string", "UTF-8"))
