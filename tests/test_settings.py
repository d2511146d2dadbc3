from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from pacs.http_settings import HttpSettings
from pacs.settings import InvalidSettings, Settings, is_loopback, load
from pacs.settings_text import as_toml


def test_each_source_overrides_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "pacs.toml"
    file.write_text('[http]\nport = 1001\nworkers = 3\n[dicom]\naet = "FROMFILE"\n')
    monkeypatch.setenv("PACS_HTTP__PORT", "1002")
    settings = load(file, {"dicom": {"port": 1003}})
    assert (settings.http.port, settings.http.workers) == (1002, 3)
    assert (settings.dicom.aet, settings.dicom.port) == ("FROMFILE", 1003)


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        ({"http": {"port": "eighty"}}, "http.port"),
        ({"http": {"port": 70000}}, "http.port"),
        ({"dicom": {"aet": "SEVENTEEN_LETTERS"}}, "dicom.aet"),
        ({"dicom": {"aet": "   "}}, "dicom.aet"),
        ({"dicom": {"destinations": [{"aet": "X", "host": "127.0.0.1"}]}}, "dicom.destinations.0.port"),
        ({"dicom": {"colour": "blue"}}, "dicom.colour"),
        ({"ingest": {"duplicates": "overwrite"}}, "ingest.duplicates"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_an_error_names_the_key(overrides: dict[str, object], key: str) -> None:
    with pytest.raises(InvalidSettings, match=rf"^{key}: "):
        load(None, overrides)


@pytest.mark.parametrize("word", ["bucket", "site"])
def test_a_durability_that_is_not_there_yet_is_refused(word: str) -> None:
    peer = {"aet": "CT1", "durability": word}
    for overrides, key in (
        ({"ingest": {"durability": word}}, r"ingest\.durability"),
        ({"dicom": {"peers": [peer]}}, r"dicom\.peers\.0\.durability"),
    ):
        with pytest.raises(InvalidSettings, match=rf"^{key}: '{word}' is not there yet"):
            load(None, overrides)


def test_durability_is_set_for_all_and_for_one_sender() -> None:
    with pytest.raises(InvalidSettings, match=r"^ingest\.durability: .*'local', 'bucket' or 'site'"):
        load(None, {"ingest": {"durability": "tape"}})
    settings = load(None, {"dicom": {"peers": [{"aet": "CT1", "durability": "local"}, {"aet": "CT2"}]}})
    assert settings.ingest.durability == "local"
    assert [peer.durability for peer in settings.dicom.peers] == ["local", None]
    assert as_toml(settings).count('durability = "local"') == 2


def test_a_misspelt_environment_variable_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACS_HTPP__PORT", "1002")
    with pytest.raises(InvalidSettings, match="PACS_HTPP__PORT"):
        load()


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"nowhere\.toml"):
        load(tmp_path / "nowhere.toml")


def test_a_file_that_is_no_toml_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "pacs.toml"
    file.write_text("[http\nport = 1")
    with pytest.raises(InvalidSettings, match=r"pacs\.toml"):
        load(file)


def test_nothing_is_open_to_the_network_by_default() -> None:
    with pytest.raises(InvalidSettings, match=r"dicom\.peers"):
        load(None, {"dicom": {"host": "0.0.0.0"}})
    with pytest.raises(InvalidSettings, match=r"http\.behind_authenticating_proxy"):
        load(None, {"http": {"host": "0.0.0.0"}})
    opened = {"host": "0.0.0.0", "peers": [{"aet": "CT1", "host": "10.0.0.1"}]}
    assert load(None, {"dicom": opened}).dicom.peers[0].aet == "CT1"


@pytest.mark.parametrize(
    ("host", "expected"), [("127.0.0.1", True), ("::1", True), ("127.8.8.8", True), ("0.0.0.0", False), ("::", False)]
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().http.port = 1  # type: ignore[misc]


def test_shown_settings_read_back_the_same(tmp_path: Path) -> None:
    given = {
        "data": tmp_path,
        "dicom": {
            "peers": [{"aet": "CT1", "host": "10.0.0.1"}],
            "destinations": [{"aet": "WS", "host": "10.0.0.2", "port": 104}],
        },
        "index": {"url": "postgresql+psycopg://pacs@127.0.0.1/pacs"},
    }
    settings = load(None, given)
    file = tmp_path / "shown.toml"
    file.write_text(as_toml(settings))
    assert load(file) == settings


def test_a_password_is_not_shown() -> None:
    settings = load(None, {"index": {"url": "postgresql+psycopg://pacs:secret@127.0.0.1/pacs"}})
    shown = as_toml(settings)
    assert "secret" not in shown
    assert "***" in shown


def test_every_setting_is_explained_or_self_evident() -> None:
    tomllib.loads(as_toml(Settings.model_construct()))
    assert "128 KB costs least per byte" in as_toml(load())


@pytest.mark.parametrize(
    "url",
    ["images.test", "https://", "https://images.test/", "https://images.test/dicomweb/", "https://u:p@images.test/x", "ftp://images.test/x",
     "https://images.test/x?y", "https://images.test/x#y", "https://images.test/a b", "https://images.test/x\n", ""],
)  # fmt: skip
def test_a_public_url_is_one_that_paths_can_follow(url: str) -> None:
    with pytest.raises(ValidationError, match="public_url"):
        HttpSettings(public_url=url)
    for right in ("https://images.test", "http://[::1]:8443/pacs/dicomweb"):
        assert HttpSettings(public_url=right).public_url == right
