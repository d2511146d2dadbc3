"""The conformance statement says what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from unittest.mock import create_autospec

from pydicom.charset import python_encoding

from pacs.commitment import FailureReason
from pacs.deletions import Deletions
from pacs.dicomweb import ups, ups_body, ups_events
from pacs.dicomweb.app import dicomweb_app
from pacs.dicomweb.deletion import add_deletions
from pacs.dicomweb.multipart import MAX_PARTS
from pacs.dicomweb.search_parameters import study_query
from pacs.dicomweb.store_metadata import MAX_METADATA_BYTES
from pacs.dicomweb.store_response import COERCED, ELEMENTS_DISCARDED, FAILURE_REASON
from pacs.dicomweb.ups_app import add_worklist
from pacs.dicomweb.wado_uri_parameters import NOT_OFFERED, PARAMETERS
from pacs.dimse.messages.status import TABLE, Status
from pacs.dimse.negotiation import MAX_OPERATIONS
from pacs.dimse.scp.commitment import STORAGE_COMMITMENT, WELL_KNOWN_INSTANCE
from pacs.dimse.scp.information_model import FIND_MODELS, GET_MODELS, MOVE_MODELS
from pacs.dimse.scp.query_extensions import accepted_extensions
from pacs.dimse.scp.retrieval import MAX_INSTANCES
from pacs.index.keys import MAX_KEY_LENGTH, MAX_UIDS, MAX_VALUES
from pacs.ingest import Ingest
from pacs.model import Level
from pacs.part10.character_sets import encodings
from pacs.part10.elements import MAX_DEPTH, MAX_KEPT_ELEMENTS
from pacs.part10.file_meta import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from pacs.query import Search
from pacs.retrieve import Retrieve
from pacs.settings import CommitmentSettings, DicomSettings, SearchSettings, WorklistSettings
from pacs.worklist.service import Worklist
from pacs.worklist.states import State

_PAGE = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text(encoding="utf-8")


def test_the_routes_are_those_served() -> None:
    app = dicomweb_app(create_autospec(Ingest), create_autospec(Search), create_autospec(Retrieve))
    worklist = create_autospec(Worklist)
    worklist.settings = WorklistSettings()
    add_worklist(app, worklist)
    add_deletions(app, create_autospec(Deletions))
    served = {f"{method.upper()} {path}" for path, methods in app.openapi()["paths"].items() for method in methods}
    assert set(re.findall(r"^\| `((?:GET|POST|DELETE|PUT) [^`]+)` \|", _PAGE, re.MULTILINE)) == served


def test_the_implementation_is_named_as_in_every_association() -> None:
    (row,) = re.findall(r"^\| Implementation class UID, version name \| ([^|]*) \|$", _PAGE, re.MULTILINE)
    assert row.startswith(f"{IMPLEMENTATION_CLASS_UID}, `{IMPLEMENTATION_VERSION_NAME}`; ")


def test_the_information_models_are_those_served() -> None:
    for line, models in (("C-FIND", FIND_MODELS), ("C-MOVE", MOVE_MODELS), ("C-GET", GET_MODELS)):
        (row,) = re.findall(rf"^\| {line}[^|]*\|([^|]*)\|$", _PAGE, re.MULTILINE)
        assert sorted(re.findall(r"[\d.]+\d", row)) == sorted(models)


def test_extended_negotiation_of_queries_is_that_of_the_code() -> None:
    rows = re.findall(r"^\| ([1-9]) \| [^|]* \| ([01]) \|$", _PAGE, re.MULTILINE)
    assert bytes(int(supported) for _, supported in rows) == accepted_extensions(bytes([1] * 20))
    assert [int(number) for number, _ in rows] == list(range(1, len(rows) + 1))


def test_the_limit_of_a_retrieval_is_that_of_the_code() -> None:
    assert (
        f"A C-MOVE or C-GET of more than {MAX_INSTANCES:,}\ninstances is 0x{Status.UNABLE_TO_COUNT_MATCHES:04X}"
        in _PAGE
    )


def test_limits_of_keys_are_those_of_the_code() -> None:
    assert f"up to {MAX_UIDS:,}; UIDs take no wild cards" in _PAGE
    assert f"up to {MAX_VALUES} values of up to {MAX_KEY_LENGTH:,} characters" in _PAGE
    assert _PAGE.count(f"`search.max_results` ({SearchSettings().max_results:,})") == 2


def test_the_character_sets_are_those_of_the_code() -> None:
    section = _PAGE.partition("Character sets, on data")[2].partition("Answers are in")[0]
    alone, _, extended = section.partition("with code extensions")
    extended, _, others = extended.partition(";")
    written = set(re.findall(r"ISO_IR \d+", alone)) | {f"ISO 2022 IR {n}" for n in re.findall(r"\b\d{1,3}\b", extended)}
    written |= {name for name in ("ISO_IR 192", "GB18030", "GBK") if name in others}
    known = {name for name in python_encoding if name} - {"ISO 2022 GBK", "ISO 2022 58"}
    assert written == known | {"ISO_IR 203", "ISO 2022 IR 203"}
    default = encodings(b"")
    assert all(encodings(name.encode()) != default for name in written - {"ISO_IR 6", "ISO 2022 IR 6"})


def test_the_parameters_of_a_search_are_those_of_the_code() -> None:
    section = _PAGE.partition("### Search transaction")[2].partition("###")[0]
    named = {
        name for row in re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    app = dicomweb_app(create_autospec(Ingest), create_autospec(Search), create_autospec(Retrieve))
    told = {parameter["name"] for parameter in app.openapi()["paths"]["/studies"]["get"]["parameters"]}
    assert named == told - {"PatientID"}
    study_query(
        "&".join(f"{name}=" for name in named - {"limit", "offset"} if "matching" not in name).encode(), Level.STUDY
    )


def test_the_parameters_of_the_uri_service_are_those_of_the_code() -> None:
    section = _PAGE.partition("### URI Service")[2].partition("###")[0]
    rows = re.findall(r"^\| (`[^|]+) \| ([^|]+) \|", section, re.MULTILINE)
    named = {name: text for cell, text in rows for name in re.findall(r"`(\w+)`", cell)}
    assert {*named, "requestType", "studyUID", "seriesUID", "objectUID"} == set(PARAMETERS)
    assert {name for name, text in named.items() if text == "refused with 400"} == set(NOT_OFFERED)


def test_the_statuses_of_c_store_are_those_sent() -> None:
    section = _PAGE.partition("### Statuses of C-STORE")[2].partition("###")[0]
    written = {int(code, 16) for code in re.findall(r"^\| (0x[0-9A-F]{4}) \|", section, re.MULTILINE)}
    sent = {int(row.store) for row in TABLE.values()} | {Status.SUCCESS, Status.COERCION_OF_DATA_ELEMENTS}
    assert written == sent - {0x0124}, "0x0124 comes with people and grants"


def test_storage_commitment_is_that_of_the_code() -> None:
    assert f"| Storage Commitment Push Model | {STORAGE_COMMITMENT}, instance {WELL_KNOWN_INSTANCE} |" in _PAGE
    section = _PAGE.partition("### Storage commitment")[2].partition("###")[0]
    statuses = {int(code, 16) for code in re.findall(r"^\| (0x[0-9A-F]{4}) \|", section, re.MULTILINE)}
    assert statuses == {
        Status.SUCCESS,
        Status.NO_SUCH_SOP_INSTANCE,
        Status.INVALID_ARGUMENT_VALUE,
        Status.NO_SUCH_SOP_CLASS,
        Status.NO_SUCH_ACTION,
        Status.DUPLICATE_TRANSACTION_UID,
        Status.UNRECOGNIZED_OPERATION,
        Status.MISTYPED_ARGUMENT,
        Status.RESOURCE_LIMITATION,
    }
    reasons = section.partition("Failure Reasons")[2]
    assert {int(code, 16) for code in re.findall(r"0x[0-9A-F]{4}", reasons)} == {
        int(reason) for reason in FailureReason
    }
    defaults = CommitmentSettings()
    assert f"`commitment.max_references` ({defaults.max_references:,})" in section
    assert f"`commitment.max_open_per_peer` ({defaults.max_open_per_peer:,})" in section
    pauses = (defaults.first_pause_s, defaults.longest_pause_s / 60, defaults.give_up_after_s / 86400)
    expected = "after {:.0f} s at first, then with pauses that double up to {:.0f} min, for {:.0f} days"
    assert expected.format(*pauses) in section


def test_the_reasons_of_the_store_transaction_are_those_sent() -> None:
    section = _PAGE.partition("### Store transaction")[2]
    written = {int(code, 16) for code in re.findall(r"^\| Failure (0x[0-9A-F]{4}) \|", section, re.MULTILINE)}
    assert written == set(FAILURE_REASON.values())
    warnings = re.findall(r"^\| Warning (0x[0-9A-F]{4}) \|", section, re.MULTILINE)
    assert [int(warning, 16) for warning in warnings] == [COERCED, ELEMENTS_DISCARDED]
    assert f"{MAX_METADATA_BYTES >> 20} MiB of metadata, {MAX_PARTS:,} instances" in section
    assert f"{MAX_DEPTH} levels" in section
    assert f"{MAX_KEPT_ELEMENTS:,} attributes" in section


def test_the_figures_are_the_defaults() -> None:
    defaults = DicomSettings()
    assert f"`dicom.max_pdu` ({defaults.max_pdu:,} bytes)" in _PAGE
    assert f"`dicom.max_associations` ({defaults.max_associations})" in _PAGE
    assert f"`dicom.max_associations_per_peer` ({defaults.max_associations_per_peer})" in _PAGE
    assert f"`dicom.least_bytes_per_s` ({defaults.least_bytes_per_s:,.0f})" in _PAGE
    assert f"up to {MAX_OPERATIONS} operations open" in _PAGE
    timeouts = (defaults.acse_timeout_s, defaults.data_timeout_s, defaults.idle_timeout_s)
    expected = "association request {:.0f} s, silence inside a message {:.0f} s, silence between messages {:.0f} s"
    assert expected.format(*timeouts) in _PAGE


def test_the_worklist_is_that_of_the_code() -> None:
    section = _PAGE.partition("### Worklist service")[2]
    warnings = [
        ups.CREATED_WITH_MODIFICATIONS,
        ups.UPDATED_WITH_MODIFICATIONS,
        ups.NOT_CLAIMED,
        ups.INCONSISTENT_UPDATE,
    ]
    warnings += [ups.UID_MISSING, ups.UID_INCORRECT, ups.INCONSISTENT_STATE, ups.MORE_RESULTS]
    warnings += [ups.ALREADY[state] for state in (State.COMPLETED, State.CANCELED)]
    assert [warning for warning in warnings if warning not in section] == []
    defaults = WorklistSettings()
    for name, value in (
        ("max_subscribers", f"{defaults.max_subscribers}"),
        ("keep_ended_s", f"{defaults.keep_ended_s / 86400:.0f} days"),
        ("max_waiting_events", f"{defaults.max_waiting_events:,}"),
        ("keep_events_s", f"{defaults.keep_events_s / 86400:.0f} days"),
        ("max_connections", f"{defaults.max_connections}"),
        ("max_connections_per_subscriber", f"{defaults.max_connections_per_subscriber}"),
    ):
        assert f"`worklist.{name}` ({value})" in section
    assert f"{ups.MAX_RESULTS:,} results at most in one answer" in section
    assert f"more than {ups_body.MAX_BODY_BYTES:,} bytes" in section
    assert f"at most {ups_events.CERTAIN_AFTER_S:.0f} s on" in section
    assert f"{ups_events.MAX_MESSAGE_BYTES:,} bytes" in " ".join(section.split())
