from __future__ import annotations

import json

import pytest
from pydicom.datadict import dictionary_VR

from pacs.errors import InvalidIdentity, PeerFault
from pacs.part10 import indexed_attributes as module
from pacs.part10.file_meta import read_file_meta
from pacs.part10.header import scan
from pacs.part10.indexed_attributes import indexed_attributes
from tests.part10.encoding import EXPLICIT_LITTLE, explicit, item, sequence, us

IDENTITY = {
    0x00080016: b"1.2.840.10008.5.1.4.1.1.2\0",
    0x00080018: b"1.2.3\0",
    0x0020000D: b"1.2\0",
    0x0020000E: b"1.2.1\0",
}


def data_set(*more: tuple[int, str, bytes], **changed: bytes) -> bytes:
    identity = {**IDENTITY, **{int(tag[1:], 16): value for tag, value in changed.items()}}
    elements = [(tag, "UI", value) for tag, value in identity.items()] + list(more)
    return b"".join(explicit(*element) for element in sorted(elements))


def test_identity_and_levels():
    data = (
        data_set((0x00080020, "DA", b"20240229"), (0x00080060, "CS", b"CT"), (0x00100010, "PN", b"Kim^Min "))
        + us(0x00280010, 512)
        + explicit(0x00291010, "LO", b"kept in the data set only ")
        + sequence(0x00400275, item(explicit(0x00401001, "SH", b"RP1 ")))
    )
    found = indexed_attributes(scan(data, EXPLICIT_LITTLE))
    assert (found.study_instance_uid, found.series_instance_uid) == ("1.2", "1.2.1")
    assert (found.sop_instance_uid, found.sop_class_uid) == ("1.2.3", "1.2.840.10008.5.1.4.1.1.2")
    assert found.patient == {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Kim^Min"}]}}
    assert found.study == {
        "00080020": {"vr": "DA", "Value": ["20240229"]},
        "0020000D": {"vr": "UI", "Value": ["1.2"]},
    }
    assert found.series["00400275"]["Value"] == [{"00401001": {"vr": "SH", "Value": ["RP1"]}}]
    assert found.instance["00280010"] == {"vr": "US", "Value": [512]}


@pytest.mark.parametrize("tag", ["t00080016", "t00080018", "t0020000D", "t0020000E"])
@pytest.mark.parametrize(
    "value", [b"", b" ", b"1.2/../3\0", b"../../x\0", b"1..2", b"1.2\\1.3\0", b"1" * 66, b"1.2\0x"]
)
def test_wrong_identity_is_refused(tag, value):
    with pytest.raises(InvalidIdentity, match=r"UID \("):
        indexed_attributes(scan(data_set(**{tag: value}), EXPLICIT_LITTLE))


def test_missing_identity_is_refused():
    with pytest.raises(InvalidIdentity, match="missing"):
        indexed_attributes(scan(explicit(0x00080018, "UI", b"1.2\0"), EXPLICIT_LITTLE))


def test_wrong_values_never_block():
    data = (
        data_set(
            (0x00080020, "DA", b"yesterday "),
            (0x00100010, "PN", b"\xff\xfe^=\\= "),
            (0x00200013, "IS", b"three "),
            (0x00280010, "US", b"abc"),
        )
        + explicit(0x00281050, "DS", b"NaN ")
        + sequence(0x00400275, us(0x00280010, 1))
    )
    found = indexed_attributes(scan(data, EXPLICIT_LITTLE))
    json.dumps([found.patient, found.study, found.series, found.instance], allow_nan=False)
    assert found.study["00080020"]["Value"] == ["yesterday"]
    assert found.instance["00200013"]["Value"] == ["three"]


def test_huge_values_stay_out_of_the_index():
    found = indexed_attributes(scan(data_set((0x00102160, "UT", b"x" * 70_000)), EXPLICIT_LITTLE))
    assert found.patient == {}


def test_every_kept_tag_is_in_the_dictionary_and_at_one_level():
    levels = (module.PATIENT_TAGS, module.STUDY_TAGS, module.SERIES_TAGS, module.INSTANCE_TAGS)
    tags = [tag for level in levels for tag in level]
    assert len(tags) == len(set(tags))
    assert all(dictionary_VR(tag) for tag in tags)


def test_required_keys_of_the_standard_are_kept():
    """PS3.4 Tables C.6-1 to C.6-4 and PS3.18 Tables 10.6.3-3 to 10.6.3-5, without the computed attributes."""
    study = {0x00080020, 0x00080030, 0x00080050, 0x00080090, 0x0020000D, 0x00200010}
    series = {0x00080060, 0x0008103E, 0x0020000E, 0x00200011, 0x00400244, 0x00400245, 0x00400275}
    instance = {0x00080016, 0x00080018, 0x00200013, 0x00280008, 0x00280010, 0x00280011, 0x00280100}
    assert {0x00100010, 0x00100020, 0x00100030, 0x00100040} <= set(module.PATIENT_TAGS)
    assert study <= set(module.STUDY_TAGS)
    assert series <= set(module.SERIES_TAGS)
    assert instance <= set(module.INSTANCE_TAGS)


def test_the_corpus_has_indexed_attributes(corpus):
    refused = set()
    for line in (corpus / "INDEX.tsv").read_text().splitlines()[1:]:
        path = corpus / line.split("\t")[0]
        for file in [path] if path.is_file() else filter(lambda found: found.is_file(), path.rglob("*")):
            content = memoryview(file.read_bytes())
            try:
                meta = read_file_meta(content)
                found = indexed_attributes(scan(content[meta.data_set_offset :], meta.transfer_syntax_uid))
            except PeerFault as error:
                refused.add((file.name, type(error).__name__))
                continue
            levels = [found.patient, found.study, found.series, found.instance]
            assert len(json.dumps(levels, allow_nan=False)) < 40_000, file
    assert refused == {
        ("HTJ2KLossless_08_RGB.dcm", "InvalidIdentity"),  # no Study Instance UID
        ("HTJ2K_08_RGB.dcm", "InvalidIdentity"),
        ("JLSL_08_07_0_1F.dcm", "InvalidIdentity"),
        ("JLSL_16_15_1_1F.dcm", "InvalidIdentity"),
        ("JLSL_RGB_ILV0.dcm", "InvalidIdentity"),  # no SOP Instance UID
        ("JLSL_RGB_ILV1.dcm", "InvalidIdentity"),
        ("JLSL_RGB_ILV2.dcm", "InvalidIdentity"),
        ("JLSN_RGB_ILV0.dcm", "InvalidIdentity"),
        ("bad_sequence.dcm", "InvalidIdentity"),  # hashes for UIDs
    }


def test_the_same_bytes_are_told_apart_by_what_decides_their_meaning():
    name = (0x00100010, "PN", b"Kim^\xb1\xe8 ")
    for _ in range(2):  # the second time from what is remembered
        names = []
        for character_set in (b"ISO_IR 100", b"ISO 2022 IR 149"):
            padded = character_set + b" " * (len(character_set) % 2)
            found = indexed_attributes(scan(data_set((0x00080005, "CS", padded), name), EXPLICIT_LITTLE))
            names.append(found.patient["00100010"]["Value"][0]["Alphabetic"])
        assert names == ["Kim^±è", "Kim^김"]


def test_what_is_remembered_is_bounded_and_leads_to_the_same(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_MOST_REMEMBERED", 8)
    numbers = [
        indexed_attributes(scan(data_set((0x00200013, "IS", b"%2d" % (n % 12))), EXPLICIT_LITTLE)) for n in range(48)
    ]
    assert [found.instance["00200013"]["Value"] for found in numbers] == [[n % 12] for n in range(48)]
    assert len(module._remembered) <= 8
