"""Content negotiation: what clients really send, and what nonsense gets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs.dicomweb.accept import (
    MAX_RANGES,
    MediaRange,
    Offer,
    accept_of,
    choose,
    parse_accept,
    parse_content_type,
)
from pacs.errors import InvalidRequest, NotAcceptable

OCTET_STREAM = "application/octet-stream"
EXPLICIT = "1.2.840.10008.1.2.1"
JPEG_LS = "1.2.840.10008.1.2.4.80"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, MediaRange("*/*")),
        ("", MediaRange("*/*")),
        (" , ", MediaRange("*/*")),
        ("*", MediaRange("*/*")),
        (
            'multipart/related; type="application/octet-stream"; transfer-syntax=*',
            MediaRange(OCTET_STREAM, is_multipart=True, transfer_syntax="*"),
        ),
        (
            "multipart/related;type=application/octet-stream;transfer-syntax=*",
            MediaRange(OCTET_STREAM, is_multipart=True, transfer_syntax="*"),
        ),
        (
            f'Multipart/Related; Type="Image/JLS"; Transfer-Syntax="{JPEG_LS}"; q=.5',
            MediaRange("image/jls", is_multipart=True, transfer_syntax=JPEG_LS, quality=0.5),
        ),
        ("multipart/related", MediaRange("*/*", is_multipart=True)),
        ('multipart/related; type="*/*"', MediaRange("*/*", is_multipart=True)),
        ("image/x-jls", MediaRange("image/jls")),
        ("application/json; charset=utf-8", MediaRange("application/json")),
        ("image/png;", MediaRange("image/png")),
        (r'application/dicom; transfer-syntax="\*"', MediaRange("application/dicom", transfer_syntax="*")),
    ],
)
def test_one_range(header: str | None, expected: MediaRange) -> None:
    assert parse_accept(header) == (expected,)


def test_several_ranges_with_commas_inside_quotes() -> None:
    ranges = parse_accept('text/html, image/*;q=0.8 ,*; q=.2, application/x; note="a, b; c"')
    assert [(r.media_type, r.quality) for r in ranges] == [
        ("text/html", 1.0),
        ("image/*", 0.8),
        ("*/*", 0.2),
        ("application/x", 1.0),
    ]


@pytest.mark.parametrize(
    "header",
    [
        "image",
        "a/b; q=2x",
        "a/b; q=-1",
        'a/b; c="open',
        "a/b c/d",
        "/b",
        "a/b; =c",
        "x" * 10_000,
        ",".join(["a/b"] * (MAX_RANGES + 1)),
        "\x00",
    ],
)
def test_nonsense_is_an_invalid_request(header: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_accept(header)


@pytest.mark.parametrize(
    "header",
    [
        "image, image/png",
        "image/png, image",
        "image/jls; q=high, image/png",
        'a/b; c="open, image/png',
        "a b/c,,image/png",
    ],
)
def test_what_cannot_be_read_is_passed_over_beside_what_can(header: str) -> None:
    """PS3.18 §8.7.7."""
    assert parse_accept(header) == (MediaRange("image/png"),)


def test_nonsense_counts_against_the_limit() -> None:
    with pytest.raises(InvalidRequest, match="more than"):
        parse_accept(",".join(["image"] * MAX_RANGES + ["image/png"]))


@given(st.text(max_size=200) | st.text(alphabet='ab/*;,=" \\q.01-', max_size=80))
def test_any_text_gives_ranges_or_an_invalid_request(header: str) -> None:
    try:
        ranges = parse_accept(header)
    except InvalidRequest:
        return
    assert ranges
    assert all(0 <= r.quality <= 1 and "/" in r.media_type for r in ranges)


def test_the_query_parameter_wins_and_gets_its_plus_back() -> None:
    assert accept_of("image/png", "application/dicom json")[0].media_type == "application/dicom+json"
    assert accept_of("image/png", "application/dicom+json")[0].media_type == "application/dicom+json"
    assert accept_of("image/png", None)[0].media_type == "image/png"
    assert accept_of("image/png", 'multipart/related; type="image/jls"')[0].media_type == "image/jls"


STORED = Offer("image/jls", JPEG_LS, is_multipart=True)
STORED_SINGLE = Offer("image/jls", JPEG_LS)
STORED_OCTETS = Offer(OCTET_STREAM, JPEG_LS, is_multipart=True, is_only_if_named=True)
DECODED = Offer(OCTET_STREAM, EXPLICIT, is_multipart=True)
DECODED_SINGLE = Offer(OCTET_STREAM, EXPLICIT)
OFFERS = (STORED, STORED_OCTETS, DECODED, STORED_SINGLE, DECODED_SINGLE)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("*/*", STORED),
        (None, STORED),
        ('multipart/related; type="application/octet-stream"; transfer-syntax=*', STORED_OCTETS),
        ('multipart/related; type="application/octet-stream"', DECODED),
        (f'multipart/related; type="application/octet-stream"; transfer-syntax={EXPLICIT}', DECODED),
        (f'multipart/related; type="application/octet-stream"; transfer-syntax={JPEG_LS}', STORED_OCTETS),
        ("multipart/related; type=image/jls", STORED),
        ("multipart/related; type=*/*", STORED),
        ("application/octet-stream", DECODED_SINGLE),
        ("image/jls", STORED_SINGLE),
        ("image/*", STORED_SINGLE),
        (f"image/*; transfer-syntax={JPEG_LS}", STORED_SINGLE),
        ("image/jls; q=0.1, application/octet-stream; q=0.2", DECODED_SINGLE),
        ("image/jls; q=0, */*; q=0.5", STORED),
        ("multipart/related; type=image/jls; q=0, */*; q=0.5", STORED_OCTETS),
        ("text/html, */*; q=.2", STORED),
    ],
)
def test_the_best_offer_is_taken(header: str | None, expected: Offer) -> None:
    assert choose(parse_accept(header), OFFERS) == expected


@pytest.mark.parametrize(
    "header",
    [
        "image/png",
        "image/jls; transfer-syntax=1.2.840.10008.1.2.4.81",
        'multipart/related; type="image/jpeg"',
        "*/*; q=0",
        "application/octet-stream; transfer-syntax=1.2.3",
        "multipart/related; type=image/jls; q=0",
    ],
)
def test_what_cannot_be_made_is_refused_with_what_can(header: str) -> None:
    with pytest.raises(NotAcceptable, match=r"image/jls.*1\.2\.840\.10008\.1\.2\.1"):
        choose(parse_accept(header), OFFERS)


@given(st.lists(st.sampled_from(["*/*", "image/*", "image/jls", "multipart/related"]), max_size=4))
def test_a_range_that_matches_always_finds_an_offer(names: list[str]) -> None:
    assert choose(parse_accept(",".join(names)), OFFERS) in OFFERS


def test_content_types_of_answers() -> None:
    assert STORED.content_type("b") == f'multipart/related; type="image/jls"; transfer-syntax={JPEG_LS}; boundary=b'
    assert STORED_SINGLE.content_type() == f"image/jls; transfer-syntax={JPEG_LS}"
    assert Offer("application/json").content_type() == "application/json"


def test_content_type_of_a_request() -> None:
    parsed = parse_content_type('multipart/related; type="application/dicom"; boundary="a b=c"')
    assert parsed.media_type == "multipart/related"
    assert parsed.parameters == {"type": "application/dicom", "boundary": "a b=c"}
    for nonsense in (None, "", "dicom", "a/b, c/d", "a/b; x"):
        with pytest.raises(InvalidRequest):
            parse_content_type(nonsense)


PNG, JPEG = Offer("image/png"), Offer("image/jpeg")


@pytest.mark.parametrize(
    ("parameter", "header", "expected"),
    [
        ("image/png", "image/jpeg", PNG),
        ("image/png;q=0.1", "image/jpeg", PNG),
        ("text/html", "image/png", PNG),
        ("text/html", "*/*", JPEG),
        ("text/html", "text/html, image/*;q=0.1", JPEG),
        ("image/png;q=0", "image/*", JPEG),
        ("no media type", "image/png", PNG),
        (";;;", "image/png", PNG),
        ("image/png", ";;;", PNG),
        ("image/png", None, PNG),
        ("  ", "image/png", PNG),
        ("", None, JPEG),
    ],
)
def test_the_header_counts_when_the_parameter_names_nothing_that_can_be_had(
    parameter: str, header: str | None, expected: Offer
) -> None:
    """PS3.18 §8.7.8.1, where each is prioritized by itself; what is not valid is ignored (§8.7.7)."""
    assert choose(accept_of(header, parameter), (JPEG, PNG)) == expected


@pytest.mark.parametrize(("parameter", "header"), [("text/html", None), ("text/html", "text/plain"), ("x/y", ";;;")])
def test_neither_can_be_had(parameter: str, header: str | None) -> None:
    with pytest.raises(NotAcceptable, match="it can be had as: image/jpeg, image/png"):
        choose(accept_of(header, parameter), (JPEG, PNG))


@pytest.mark.parametrize(("parameter", "header"), [(";;;", None), (";;;", ";;;"), ("x" * 9000, None)])
def test_neither_can_be_read(parameter: str, header: str | None) -> None:
    with pytest.raises(InvalidRequest):
        accept_of(header, parameter)


def test_what_the_parameter_names_and_cannot_be_made_gives_way_and_is_told() -> None:
    def obstacle(offer: Offer) -> str:
        return "it is black" if offer == PNG else ""

    assert choose(accept_of("image/jpeg", "image/png"), (JPEG, PNG), obstacle) == JPEG
    with pytest.raises(NotAcceptable, match="it is black"):
        choose(accept_of("text/html", "image/png"), (JPEG, PNG), obstacle)
