"""Films, parts, annotations, colour profiles and presentation states through the door."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.uid import generate_uid

from pacs.dicomweb.rendering_parameters import PARAMETERS
from pacs.dicomweb.resources import ResourceKey
from pacs.pixels.colour_profile import well_known
from tests.dicomweb.presentation_states import area, drawing, graphic, items, reference_to, state, text, window
from tests.dicomweb.served import DoorInMemory, image, parts_of

FRAMES = 4
STACK = np.stack([np.arange(384).reshape(16, 24) + 20 * number for number in range(FRAMES)]).astype("<u2")


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


@pytest.fixture(scope="module")
def film(door: DoorInMemory) -> ResourceKey:
    """Four frames, 25 a second."""
    return door.keep(image(NumberOfFrames=FRAMES, RecommendedDisplayFrameRate=25, PixelData=STACK.tobytes()))


@pytest.fixture(scope="module")
def single(door: DoorInMemory) -> ResourceKey:
    return door.keep(image())


def test_a_multi_frame_moves_where_it_can(door: DoorInMemory, film: ResourceKey) -> None:
    url = f"{film.path}/rendered"
    with opened(door.get(url, accept="image/gif").content) as gif:
        assert gif.n_frames == FRAMES
        assert gif.info["duration"] == 40
        for number in range(FRAMES):
            gif.seek(number)
            alone = door.get(f"{film.path}/frames/{number + 1}/rendered", accept="image/png").content
            assert np.array_equal(np.asarray(gif.convert("L")), np.asarray(opened(alone)))
    with opened(door.get(url).content) as still:
        assert (still.format, still.size) == ("JPEG", (24, 16))
    with opened(door.get(f"{film.path}/frames/3/rendered", accept="image/gif").content) as one:
        assert not getattr(one, "is_animated", False)
    with opened(door.get(f"{film.path}/frames/3,1/rendered?accept=image/gif").content) as two:
        assert two.n_frames == 2


def test_a_multi_frame_as_a_film(door: DoorInMemory, film: ResourceKey) -> None:
    av = pytest.importorskip("av")
    answer = door.get(f"{film.path}/rendered?viewport=48,32", accept="video/mp4, image/gif;q=0.5")
    assert answer.headers["content-type"] == "video/mp4"
    with av.open(io.BytesIO(answer.content)) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == FRAMES
    assert (frames[0].width, frames[0].height) == (48, 32)
    again = door.get(f"{film.path}/rendered?viewport=48,32", accept="video/mp4", if_none_match=answer.headers["etag"])
    assert again.status_code == 304


def test_parts_of_a_picture_and_of_no_film(door: DoorInMemory, film: ResourceKey) -> None:
    pytest.importorskip("av")
    url = f"{film.path}/rendered?viewport=48,32"
    gif = door.get(url, accept="image/gif")
    part = door.get(url, accept="image/gif", range="bytes=2-5", if_range=gif.headers["etag"])
    assert (part.status_code, part.content) == (206, gif.content[2:6])
    # Another process may encode a film to other bytes.
    for _ in range(2):
        mp4 = door.get(url, accept="video/mp4", range="bytes=2-5")
        assert mp4.status_code == 200
        assert mp4.headers["etag"].startswith('W/"')
        assert "accept-ranges" not in mp4.headers
        assert len(mp4.content) == int(mp4.headers["content-length"])


def test_without_the_package_a_film_says_what_is_missing(
    door: DoorInMemory, film: ResourceKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacs.dicomweb.rendered_offers.can_make_mp4", lambda: False)
    answer = door.get(f"{film.path}/rendered", accept="video/mp4")
    assert answer.status_code == 406
    assert "pacs[video]" in answer.json()["error"]
    both = door.get(f"{film.path}/rendered", accept="video/mp4, image/gif;q=0.5")
    assert both.headers["content-type"] == "image/gif"


def test_all_frames_in_parts(door: DoorInMemory, film: ResourceKey) -> None:
    answer = door.get(f"{film.path}/rendered", accept='multipart/related; type="image/png"')
    assert answer.headers["content-type"].startswith('multipart/related; type="image/png"')
    parts = parts_of(answer)
    assert len(parts) == FRAMES
    for number, (fields, content) in enumerate(parts, 1):
        assert fields["content-location"] == f"{door.base}{film.path}/frames/{number}/rendered"
        assert content == door.get(f"{film.path}/frames/{number}/rendered", accept="image/png").content
    listed = parts_of(door.get(f"{film.path}/frames/2,4/rendered"))
    assert [fields["content-type"] for fields, _ in listed] == ["image/jpeg"] * 2


def test_a_series_in_parts_tells_what_is_left_out(door: DoorInMemory) -> None:
    study, series = generate_uid(), generate_uid()
    same = {"StudyInstanceUID": study, "SeriesInstanceUID": series}
    for number in (1, 2):
        door.keep(image(**same, InstanceNumber=number))
    door.keep(image(**same, InstanceNumber=3, BitsAllocated=12))
    door.keep(image(**same, InstanceNumber=4, PixelData=None))
    answer = door.get(f"/studies/{study}/series/{series}/rendered", accept="multipart/related; type=image/jpeg")
    assert answer.status_code == 200
    assert "1 instances hold no image" in answer.headers["warning"]
    kinds = [fields["content-type"] for fields, _ in parts_of(answer)]
    # What cannot be decoded says so in its place.
    assert kinds == ["image/jpeg", "image/jpeg", "application/json"]
    assert door.get(f"/studies/{study}/rendered").headers["content-type"] == "image/jpeg"


def test_annotations(door: DoorInMemory) -> None:
    kept = door.keep(image(Rows=200, Columns=200, PixelData=np.full(40000, 50, "<u2").tobytes()))
    url = f"{kept.path}/rendered?accept=image/png"
    plain = door.get(url)
    with_name = door.get(f"{url}&annotation=patient")
    assert plain.content != with_name.content != door.get(f"{url}&annotation=patient,technique").content
    unknown = door.get(f"{url}&annotation=patient,spin")
    assert unknown.headers["warning"] == '299 pacs "The following annotation values are not supported: spin"'
    assert unknown.content == with_name.content
    small = f"{kept.path}/thumbnail"
    assert door.get(small).content == door.get(f"{small}?annotation=patient").content


def test_colour_profiles(door: DoorInMemory, single: ResourceKey) -> None:
    url = f"{single.path}/rendered"
    for name in ("srgb", "adobergb", "rommrgb", "displayp3"):
        with opened(door.get(f"{url}?iccprofile={name}").content) as shown:
            assert shown.info["icc_profile"] == well_known(name)
            assert shown.mode == "RGB"
    assert "icc_profile" not in opened(door.get(f"{url}?iccprofile=no").content).info
    refused = door.get(f"{url}?iccprofile=yes", accept="image/gif")
    assert refused.status_code == 400
    assert "iccprofile" in refused.json()["error"]


def test_an_image_with_a_presentation_state(door: DoorInMemory) -> None:
    subject = image()
    kept = door.keep(subject)
    dark = state(
        subject,
        SoftcopyVOILUTSequence=items(window(1000, 2)),
        DisplayedAreaSelectionSequence=items(area(1, 1, 10, 8)),
        GraphicAnnotationSequence=items(
            drawing("A", graphic("POLYLINE", 2, 2, 8, 2), texts=[text("병변 lesion", 1, 1, 9, 7)])
        ),
    )
    kept_state = door.keep(dark)
    alone = door.get(f"{kept_state.path}/rendered", accept="image/png")
    assert alone.status_code == 200, alone.text
    asked = f"presentationinstance={dark.SOPInstanceUID}"
    with_series = f"{asked}&presentationseries={dark.SeriesInstanceUID}"
    for parameters in (asked, with_series):
        answer = door.get(f"{kept.path}/rendered?{parameters}", accept="image/png")
        assert answer.content == alone.content
    picture = np.asarray(opened(alone.content))
    assert picture.shape == (8, 10)
    assert picture.max() > 200  # what is drawn; the window leaves the image black
    assert opened(door.get(f"{kept_state.path}/rendered?viewport=100,100").content).size == (100, 80)


def test_what_does_not_go_with_a_presentation_state(door: DoorInMemory, single: ResourceKey) -> None:
    subject = image()
    kept, kept_state = door.keep(subject), door.keep(dark := state(subject))
    asked = f"presentationinstance={dark.SOPInstanceUID}"
    for path, parameters, said in (
        (kept.path, f"{asked}&window=1,2", "window"),
        (kept.path, f"{asked}&viewport=9,9,1,1,2,2", "viewport"),
        (kept.path, f"presentationseries={dark.SeriesInstanceUID}", "presentationseries"),
        (kept.path, "presentationinstance=../etc", "presentationinstance"),
        (kept_state.path, "window=1,2", "window"),
        (kept_state.path, "viewport=9,9,1", "viewport"),
        (f"{kept_state.path}/frames/1", "", "no frames"),
    ):
        answer = door.get(f"{path}/rendered?{parameters}")
        assert answer.status_code == 400, (path, parameters)
        assert said in answer.json()["error"]
    assert door.get(f"{kept.path}/rendered?presentationinstance={generate_uid()}").status_code == 404
    # It is of another study, and so is not found there at all.
    assert door.get(f"{single.path}/rendered?{asked}").status_code == 404
    other = image(StudyInstanceUID=subject.StudyInstanceUID)
    not_meant = door.get(f"{door.keep(other).path}/rendered?{asked}")
    assert not_meant.status_code == 400
    assert "not for this image" in not_meant.json()["error"]


def test_presentation_states_that_cannot_be_shown(door: DoorInMemory) -> None:
    subject = image()
    gone = door.get(f"{door.keep(state(subject)).path}/rendered")
    assert gone.status_code == 406
    assert "none of the images" in gone.json()["error"]
    door.keep(subject)
    blending = door.keep(state(subject, sop_class="1.2.840.10008.5.1.4.1.1.11.4"))
    refused = door.get(f"{blending.path}/rendered")
    assert refused.status_code == 406
    assert "are not shown" in refused.json()["error"]


def test_a_presentation_state_of_frames(door: DoorInMemory, film: ResourceKey) -> None:
    subject = image(NumberOfFrames=FRAMES, PixelData=STACK.tobytes())
    kept = door.keep(subject)
    of_frames = state(subject)
    of_frames.ReferencedSeriesSequence[0].ReferencedImageSequence = items(reference_to(subject, 2, 3))
    url = f"{door.keep(of_frames).path}/rendered"
    with opened(door.get(url, accept="image/gif").content) as gif:
        assert gif.n_frames == 2
    assert len(parts_of(door.get(url, accept="multipart/related; type=image/png"))) == 2
    assert door.get(f"{kept.path}/frames/4/rendered?presentationinstance={of_frames.SOPInstanceUID}").status_code == 400


def test_a_thumbnail_takes_no_region(door: DoorInMemory, single: ResourceKey) -> None:
    assert door.get(f"{single.path}/thumbnail?viewport=10,10,1,1").status_code == 400


@pytest.mark.parametrize(
    "parameters", ["annotation=", "annotation=a,,b", "annotation=<script>", "iccprofile=", "iccprofile=cmyk"]
)
def test_bad_parameters(door: DoorInMemory, single: ResourceKey, parameters: str) -> None:
    answer = door.get(f"{single.path}/rendered?{parameters}")
    assert answer.status_code == 400
    assert parameters.partition("=")[0] in answer.json()["error"]


@pytest.mark.parametrize(
    "parameters", ["viewport=16384,16384", "viewport=1000000,1000000", "viewport=1e12,1", "viewport=9,9,1e11,0,1,1"]
)
def test_a_picture_that_would_be_too_large(door: DoorInMemory, film: ResourceKey, parameters: str) -> None:
    for accept in ("image/png", "image/gif", "video/mp4"):
        assert door.get(f"{film.path}/rendered?{parameters}", accept=accept).status_code in (400, 406)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.sampled_from(sorted(PARAMETERS)), st.text("0123456789.,-/;=acegijmnpqrstvw*", max_size=20)),
    st.sampled_from(["", "image/*", "image/gif", "video/mp4", "multipart/related", "text/html"]),
)  # fmt: skip
def test_any_parameters(door: DoorInMemory, single: ResourceKey, parameters: dict[str, str], accept: str) -> None:
    answer = door.request("GET", f"{single.path}/rendered", params=parameters, headers={"accept": accept})
    assert answer.status_code in (200, 400, 404, 406)
    if answer.status_code != 200:
        assert answer.json()["hint"]


@pytest.mark.parametrize("frames", ["9", "1,9", "9,10"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("accept", ["", "image/gif", 'multipart/related; type="image/jpeg"'])
def test_frames_that_are_not_there(
    door: DoorInMemory, film: ResourceKey, method: str, frames: str, accept: str
) -> None:
    headers = {"accept": accept} if accept else {}
    answer = door.request(method, f"{film.path}/frames/{frames}/rendered", headers=headers)
    assert answer.status_code == 404
    again = door.request(method, f"{film.path}/frames/{frames}/rendered", headers={**headers, "if-none-match": "*"})
    assert again.status_code == 404


def test_parts_of_which_none_can_be_made(door: DoorInMemory) -> None:
    study, parts = generate_uid(), "multipart/related; type=image/jpeg"
    broken = [door.keep(image(StudyInstanceUID=study, InstanceNumber=each, BitsAllocated=12)) for each in (1, 2)]
    for path in (broken[0].path, f"{broken[0].path}/frames/1", f"/studies/{study}"):
        for method in ("GET", "HEAD"):
            answer = door.request(method, f"{path}/rendered", headers={"accept": parts})
            assert answer.status_code == 406, (method, path)
        assert door.get(f"{path}/rendered", accept=parts).json()["error"]
    # One that can be is enough, wherever it stands.
    door.keep(image(StudyInstanceUID=study, InstanceNumber=3))
    answer = door.get(f"/studies/{study}/rendered", accept=parts)
    assert answer.status_code == 200
    kinds = sorted(fields["content-type"] for fields, _ in parts_of(answer))
    assert kinds == ["application/json", "application/json", "image/jpeg"]
