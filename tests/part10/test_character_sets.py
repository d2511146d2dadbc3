from __future__ import annotations

import warnings

import pydicom.charset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs.part10.character_sets import decode, encoder, encodings

NAMES = [
    ("ISO_IR 100", "Buc^Jérôme"),
    ("ISO_IR 101", "Wałęsa"),
    ("ISO_IR 109", "Ĥĝ"),
    ("ISO_IR 110", "Āž"),
    ("ISO_IR 126", "Διονυσιος"),
    ("ISO_IR 127", "قباني^لنزار"),
    ("ISO_IR 138", "שרון^דבורה"),
    ("ISO_IR 144", "Люкceмбypг"),
    ("ISO_IR 148", "Çavuşoğlu"),
    ("ISO_IR 166", "นามสกุล"),
    ("ISO_IR 13", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
    ("ISO_IR 192", "王^小东=김^희중"),
    ("GB18030", "王^小东"),
    ("GBK", "王^小东"),
    ("\\ISO 2022 IR 149", "Hong^Gildong=洪^吉洞=홍^길동"),
    ("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    ("ISO 2022 IR 13\\ISO 2022 IR 87", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎"),
    ("ISO 2022 IR 6\\ISO 2022 IR 58", "Zhang^XiaoDong=张^小东"),
    ("ISO 2022 IR 100\\ISO 2022 IR 144", "Jérôme^Люкceмбypг"),
]


@pytest.mark.parametrize(("character_set", "name"), NAMES)
def test_what_pydicom_encodes_comes_back(character_set, name):
    python_encodings = pydicom.charset.convert_encodings(character_set.split("\\"))
    groups = [
        b"^".join(pydicom.charset.encode_string(component, python_encodings) for component in group.split("^"))
        for group in name.split("=")
    ]
    assert decode(b"=".join(groups), encodings(character_set.encode()), "PN") == name


@pytest.mark.parametrize(
    ("character_set", "value", "name"),
    [
        ("ISO 2022 IR 13\\ISO 2022 IR 87", b"\x1b$BB@\xc0\x1b(J^a", "太ﾀ^a"),
        ("ISO 2022 IR 144\\ISO 2022 IR 87", b"\x1b$BED\xbbED\x1b(B\xbb^\xbb", "田Л田Л^Л"),
        ("\\ISO 2022 IR 13\\ISO 2022 IR 87", b"\x1b$BB@\x1b)I\xd4ED\x1b(Bzz", "太ﾔ田zz"),
        ("\\ISO 2022 IR 149\\ISO 2022 IR 87", b"\x1b$BO:\x1b$)C\xc8\xabB@\x1b(B\xc8\xab", "郎홍太홍"),
        ("ISO 2022 IR 100\\ISO 2022 IR 144", b"\x1b-L\xbb^\xe9\x1b-L\xbb", "Л^éЛ"),
        ("\\ISO 2022 IR 149", b"\xc8\xab^\x1b$)C\xb1\xe6", "홍^길"),
    ],
)
def test_an_escape_leaves_the_other_half_of_the_code_as_it_was(character_set, value, name):
    """PS3.5 §6.1.2.5.2: one set is in G0, below 128, another in G1."""
    assert decode(value, encodings(character_set.encode()), "PN") == name


@pytest.mark.parametrize("value", [b"\x1b$)C" + "홍^길동".encode("euc_kr"), "홍^길동".encode("euc_kr")])
def test_korean_without_the_escapes_it_should_have(value):
    assert decode(value, encodings(b"\\ISO 2022 IR 149"), "PN") == "홍^길동"


@pytest.mark.parametrize(
    ("misspelt", "correct"),
    [
        ("ISO-IR 100", "ISO_IR 100"),
        ("ISO IR 192", "ISO_IR 192"),
        ("ISO 2022 IR100", "ISO_IR 100"),
        ("iso_ir 144", "ISO_IR 144"),
        ("ISO_IR 149", "ISO 2022 IR 149"),
        ("UTF-8", "ISO_IR 192"),
        ("ISO_IR 192\\ISO 2022 IR 149", "ISO_IR 192"),
        ("ISO_IR 999", ""),
        ("nonsense", ""),
    ],
)
def test_names_that_real_files_have(misspelt, correct):
    assert encodings(misspelt.encode()) == encodings(correct.encode())


@pytest.mark.parametrize("character_set", [b"", b"ISO_IR 6", b"nonsense", b"\\ISO_IR 192"])
@pytest.mark.parametrize("vr", ["PN", "LO", "LT"])
def test_text_past_ascii_that_names_no_character_set(character_set, vr):
    """As requests are read: UTF-8 where it is that, which Latin-1 text is by chance only."""
    declared = encodings(character_set)
    for name in ("Müller^Jürgen=김^민수", "é"):
        assert decode(name.encode(), declared, vr) == name
    assert decode(b"M\xfcller^J\xfcrgen", declared, vr) == "Müller^Jürgen"
    assert decode("홍".encode("euc_kr"), encodings(b"\\ISO 2022 IR 149"), vr) == "홍", "what is declared goes first"


@pytest.mark.parametrize("vr", ["CS", "UI", "DA", "AE"])
def test_other_vrs_have_the_default_repertoire(vr):
    assert decode(b"A\xe9", ("UTF8",), vr) == "Aé"


def test_backslash_inside_a_multi_byte_character_is_no_separator():
    value = "許蓋功".encode("GBK") + b"\\X"
    assert decode(value, encodings(b"GBK"), "LO") == "許蓋功\\X"


@given(st.binary(max_size=60), st.sampled_from([character_set for character_set, _ in NAMES]) | st.text(max_size=20))
def test_wrong_bytes_never_raise_nor_warn(value, character_set):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for vr in ("PN", "LO", "LT", "CS"):
            for content in (value, b"\x1b$B" + value, b"\x1b$)C" + value, b"\x1b-F" + value):
                text = decode(b"KIM^" + content, encodings(character_set.encode("utf-8")), vr)
                assert text.startswith("KIM^"), "what stood before the damage is as it was"
                assert text.encode("utf-8")


@pytest.mark.parametrize(
    ("character_set", "text"),
    [
        ("", "Kim"),
        ("ISO_IR 100", "Müller^Jörg"),
        ("ISO_IR 192", "김^민수"),
        ("\\ISO 2022 IR 149", "Hong^Gildong=洪^吉洞=홍^길동"),
        ("GB18030", "王^小东"),
    ],
)
def test_what_is_written_is_read_again(character_set, text):
    names = encodings(character_set.encode())
    assert decode(encoder(names)(text), names, "PN") == text


@pytest.mark.parametrize(
    ("character_set", "text"), [("", "Müller"), ("ISO_IR 100", "김"), ("\\ISO 2022 IR 149", "Ñandú")]
)
def test_what_a_character_set_lacks_is_never_replaced(character_set, text):
    with pytest.raises(UnicodeError):
        encoder(encodings(character_set.encode()))(text)


@pytest.mark.parametrize(
    ("character_set", "text", "written"),
    [
        ("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"),
        ("ISO 2022 IR 13\\ISO 2022 IR 87", "ﾔﾏ=山a", b"\xd4\xcf=\x1b$B;3\x1b(Ja"),
        ("\\ISO 2022 IR 13", "ﾔﾏ^ﾔ", b"\x1b)I\xd4\xcf^\x1b)I\xd4"),
        ("\\ISO 2022 IR 87\\ISO 2022 IR 159", "丂太é", b"\x1b$(D0!\x1b$BB@\x1b$(D+1\x1b(B"),
        # Bytes of G1 are no part of a set of two bytes in G0.
        ("ISO 2022 IR 13\\ISO 2022 IR 87", "太ﾀ", b"\x1b$BB@\x1b(J\xc0"),
        ("ISO 2022 IR 144\\ISO 2022 IR 87", "太Л", b"\x1b$BB@\x1b(B\x1b-L\xbb"),
        ("\\ISO 2022 IR 149\\ISO 2022 IR 87", "홍込홍", b"\x1b$)C\xc8\xab\x1b$B9~\x1b(B\x1b$)C\xc8\xab"),
        ("\\ISO 2022 IR 149", "Hong=洪^길동", b"Hong=\x1b$)C\xfb\xf3^\x1b$)C\xb1\xe6\xb5\xbf"),
        ("\\ISO 2022 IR 58", "Li=张 a东", b"Li=\x1b$)A\xd5\xc5 a\xb6\xab"),
        ("ISO 2022 IR 100\\ISO 2022 IR 144", "éЛé", b"\xe9\x1b-L\xbb\x1b-A\xe9"),
        ("ISO 2022 IR 100\\ISO 2022 IR 203", "Éa^Œb", b"\xc9a^\x1b-b\xbcb"),
        ("ISO_IR 203", "Œ€", b"\xbc\xa4"),
        ("ISO_IR 13", "ﾔﾏﾀﾞ", b"\xd4\xcf\xc0\xde"),
    ],
)
def test_code_extensions_are_written(character_set, text, written):
    declared = encodings(character_set.encode())
    assert encoder(declared)(text) == written
    assert decode(written, declared, "PN") == text


@pytest.mark.parametrize(
    ("character_set", "text"),
    [
        ("", "é"),
        ("ISO_IR 6", "é"),
        ("\\ISO 2022 IR 149", "Müller"),
        ("ISO_IR 13", "山"),
        ("\\ISO 2022 IR 13", "山"),
        ("\\ISO 2022 IR 87", "한"),
        ("\\ISO 2022 IR 87\\ISO 2022 IR 159", "张"),
        ("ISO_IR 100", "€"),
    ],
)
def test_what_a_set_does_not_have_is_not_written(character_set, text):
    with pytest.raises(UnicodeError):
        encoder(encodings(character_set.encode()))(text)


@pytest.mark.parametrize("character_set", [character_set for character_set, _ in NAMES])
@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\x1b", exclude_categories=["Cc"]), max_size=12))
def test_any_text_that_is_written_is_read_again(character_set, text):
    declared = encodings(character_set.encode())
    try:
        written = encoder(declared)(text)
    except UnicodeError:
        return
    assert decode(written, declared, "PN") == text


@pytest.mark.parametrize(
    "character_set",
    [
        "ISO 2022 IR 13\\ISO 2022 IR 87\\ISO 2022 IR 159",
        "\\ISO 2022 IR 149\\ISO 2022 IR 87",
        "ISO 2022 IR 144\\ISO 2022 IR 87",
        "\\ISO 2022 IR 13\\ISO 2022 IR 87",
    ],
)
@given(text=st.text("aZ^ﾔﾞ山郎や丂홍込Л", min_size=1, max_size=8))
def test_pydicom_reads_what_is_written_of_mixed_sets(character_set, text):
    try:
        written = encoder(encodings(character_set.encode()))(text)
    except UnicodeError:
        return
    declared = pydicom.charset.convert_encodings(character_set.split("\\"))
    assert pydicom.charset.decode_bytes(written, declared, {ord("^"), ord("=")}) == text
