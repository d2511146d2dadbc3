from __future__ import annotations

from typing import Any

import pytest

from pacs.ingest.coercion_rules import rules
from pacs.part10.header import scan
from pacs.settings import IngestSettings, InvalidSettings, load
from pacs.settings_text import as_toml

from ..part10.encoding import EXPLICIT_LITTLE, explicit, us


def settings(**rule: Any) -> IngestSettings:
    return IngestSettings(coercion=({"aet": "CT1", **rule},))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("PatientsName", "no attribute"),
        ("0010001", "no attribute"),
        ("SOPInstanceUID", "identifies"),
        ("StudyInstanceUID", "identifies"),
        ("0020000E", "identifies"),
        ("SOPClassUID", "identifies"),
        ("FrameOfReferenceUID", "identifies"),
        ("SpecificCharacterSet", "all text"),
        ("PixelData", "pixel data"),
        ("FloatPixelData", "pixel data"),
        ("Rows", "pixel data"),
        ("60003000", "pixel data"),
        ("WaveformData", "pixel data"),
        ("TransferSyntaxUID", "identifies"),
        ("FileMetaInformationVersion", "kept by the archive"),
        ("00100000", "kept by the archive"),
        ("OriginalAttributesSequence", "kept by the archive"),
        ("FFFAFFFA", "pixel data"),
    ],
)
@pytest.mark.parametrize("word", ["set", "default", "remove"])
def test_what_may_not_be_changed_is_refused_by_name(name: str, why: str, word: str) -> None:
    with pytest.raises(InvalidSettings, match=rf"^ingest\.coercion: .*{name}.*{why}"):
        rules(settings(**{word: (name,) if word == "remove" else {name: "1"}}))


def test_a_sequence_can_be_removed_and_not_set() -> None:
    (rule,) = rules(settings(remove=("ProcedureCodeSequence", "00091001")))
    assert rule.remove == {0x00081032, 0x00091001}
    for name in ("ProcedureCodeSequence", "00091001"):
        with pytest.raises(InvalidSettings, match="no text"):
            rules(settings(set={name: "x"}))


def test_an_attribute_stands_under_one_word() -> None:
    with pytest.raises(InvalidSettings, match="more than one"):
        rules(settings(set={"InstitutionName": "x"}, remove=("00080080",)))


def test_a_host_is_an_address() -> None:
    with pytest.raises(InvalidSettings, match=r"'scanner\.example' is no IP address"):
        rules(settings(host="scanner.example"))


def test_a_rule_names_its_sender() -> None:
    with pytest.raises(InvalidSettings, match=r"ingest\.coercion\.0: name the sender"):
        load(None, {"ingest": {"coercion": [{"set": {"InstitutionName": "x"}}]}})


def test_the_settings_show_the_rules(tmp_path: Any) -> None:
    rule = {
        "aet": "CT1",
        "set": {"InstitutionName": 'a "b" \\ ü'},
        "default": {"00080060": "CT"},
        "remove": ["StudyID"],
    }
    text = as_toml(load(None, {"ingest": {"coercion": [rule]}}))
    file = tmp_path / "pacs.toml"
    file.write_text(text, encoding="utf-8")
    (again,) = load(file).ingest.coercion
    assert (again.set, again.default, again.remove) == (rule["set"], rule["default"], ("StudyID",))


@pytest.mark.parametrize(
    ("value", "is_filled"),
    [(None, True), (b"", True), (b"  ", True), (b"\0\0", True), (b"CT", False), (b" " * 2000, False)],
)
def test_default_fills_in_what_is_absent_or_empty(value: bytes | None, is_filled: bool) -> None:
    (rule,) = rules(settings(default={"Modality": "MR"}))
    content = explicit(0x00080018, "UI", b"1.2\0")
    content += b"" if value is None else explicit(0x00080060, "CS", value)
    assert rule.values(scan(content, EXPLICIT_LITTLE)) == ({0x00080060: b"MR"} if is_filled else {})


def test_a_number_that_is_zero_is_there() -> None:
    (rule,) = rules(settings(default={"AcquisitionNumber": "1", "00189073": "2.5", "00189219": "5"}))
    content = explicit(0x00080018, "UI", b"1.2\0") + explicit(0x00189073, "FD", bytes(8)) + us(0x00189219, 0)
    assert rule.values(scan(content, EXPLICIT_LITTLE)) == {0x00200012: b"1 "}
