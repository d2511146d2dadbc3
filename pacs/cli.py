"""The command line: `pacs --help` shows what there is."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from pacs import log
from pacs.errors import PacsError
from pacs.settings import InvalidSettings, Settings, load

app = typer.Typer(
    name="pacs",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    help="A medical image archive.\n\nStart one with `pacs serve --data archive`, fill it with `pacs import FOLDER` "
    "or from a scanner, and open http://127.0.0.1:8080 in a browser.",
)
_out = Console()
_err = Console(stderr=True)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", envvar="PACS_CONFIG", metavar="FILE", help="Settings in TOML; examples are in config/."),
]
DataOption = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="Folder under which everything is kept.")
]


def main() -> None:
    """Run the command line; a wrong setting ends it with one plain sentence and status 2."""
    os.umask(0o077)  # whatever is written is about patients: for this user alone, also index and thumbnails
    try:
        app()
    except InvalidSettings as problem:
        _fail(str(problem), status=2)


def _fail(message: str, *, status: int = 1) -> NoReturn:
    _err.print(f"pacs: {message}", style="bold red", markup=False, highlight=False, soft_wrap=True)
    sys.exit(status)


def _settings(config: Path | None, data: Path | None, overrides: dict[str, Any] | None = None) -> Settings:
    changes: dict[str, Any] = dict(overrides or {})
    if data is not None:
        changes["data"] = data
    return load(config, changes)


def _address(text: str, option: str) -> dict[str, Any]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise InvalidSettings(f"{option} {text!r}: expected HOST:PORT, for example 127.0.0.1:8080")
    return {"host": host.strip("[]"), "port": int(port)}


def _destination(text: str) -> dict[str, Any]:
    title, equals, address = text.partition("=")
    if not equals or not title.strip():
        raise InvalidSettings(f"--destination {text!r}: expected AET=HOST:PORT, for example WORKSTATION=10.0.0.7:104")
    return {"aet": title, **_address(address, f"--destination {title}")}


def _peer(text: str) -> dict[str, Any]:
    title, _, host = text.partition("=")
    return {"aet": title, "host": host or None}


@app.command()
def serve(
    config: ConfigOption = None,
    data: DataOption = None,
    http: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Where the web doors listen [default: 127.0.0.1:8080].")
    ] = None,
    dicom: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Where the DICOM door listens [default: 127.0.0.1:11112].")
    ] = None,
    aet: Annotated[
        str | None, typer.Option(metavar="TITLE", help="Our application entity title [default: PACS].")
    ] = None,
    destination: Annotated[
        list[str] | None, typer.Option(metavar="AET=HOST:PORT", help="Where C-MOVE may send; may be given often.")
    ] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(metavar="AET[=IP]", help="Who may open associations; without any, everyone on this machine."),
    ] = None,
    workers: Annotated[int | None, typer.Option(metavar="N", help="Web processes [default: 2].")] = None,
) -> None:
    """Start the archive and keep it running until SIGTERM or Ctrl-C.

    It listens on this machine only, unless settings name who may come from the network.
    """
    from pacs.processes.serving import serve as run  # noqa: PLC0415 -- `pacs --help` should not load the whole archive

    overrides: dict[str, Any] = {"http": {}, "dicom": {}}
    if http:
        overrides["http"].update(_address(http, "--http"))
    if workers is not None:
        overrides["http"]["workers"] = workers
    if dicom:
        overrides["dicom"].update(_address(dicom, "--dicom"))
    if aet is not None:
        overrides["dicom"]["aet"] = aet
    if destination:
        overrides["dicom"]["destinations"] = [_destination(text) for text in destination]
    if peer:
        overrides["dicom"]["peers"] = [_peer(text) for text in peer]
    settings = _settings(config, data, {key: value for key, value in overrides.items() if value})
    sys.exit(run(settings))


@app.command("config")
def show_config(
    config: ConfigOption = None,
    data: DataOption = None,
    defaults: Annotated[bool, typer.Option("--defaults", help="Show only the built-in defaults.")] = False,
) -> None:
    """Show the effective settings, in TOML, ready to be kept as a file.

    Each can be set in a file (`--config`) or in the environment: `PACS_HTTP__PORT=8081` is `[http] port = 8081`.
    """
    from pacs.settings_text import as_toml  # noqa: PLC0415

    settings = Settings.model_construct() if defaults else _settings(config, data)
    sys.stdout.write(as_toml(settings))


@app.command("import")
def import_files(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Folders, files, DICOMDIRs or zips.")],
    config: ConfigOption = None,
    data: DataOption = None,
    jobs: Annotated[int, typer.Option(metavar="N", min=1, max=64, help="Files read at a time.")] = 4,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write one JSON line per file: path, outcome, reason.")
    ] = None,
) -> None:
    """Take files into the archive; it may be running or not.

    Safe to repeat: what is there already is not stored twice. Safe to interrupt: what the summary calls stored is kept.
    Ends with status 1 when a DICOM file was refused; files that are no DICOM are counted only.
    """
    from pacs.media.importing import run_import  # noqa: PLC0415

    settings = _settings(config, data)
    log.configure(process="import", format=settings.log.format, level="WARNING")
    sys.exit(run_import(settings, paths, jobs=jobs, report=report, as_json=as_json, console=_out, errors=_err))


@app.command()
def check(
    config: ConfigOption = None,
    data: DataOption = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Add rows for images that lack one; with a lost index, all of them.")
    ] = False,
    read_all: Annotated[bool, typer.Option("--bytes", help="Read every image, and compare its digest.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Compare index and images, and mend the index.

    Nothing of an image is changed, ever. The archive may run; what it is writing at that moment is left out. Ends with
    status 1 when something is left to be done.
    """
    from pacs.checking import run_check  # noqa: PLC0415

    settings = _settings(config, data)
    log.configure(process="check", format=settings.log.format, level="WARNING")
    try:
        sys.exit(run_check(settings, repair=repair, with_digests=read_all, as_json=as_json, out=_out, errors=_err))
    except PacsError as problem:
        _fail(str(problem))


attributes = typer.Typer(no_args_is_help=True, help="Choose further attributes that can be searched for.")
app.add_typer(attributes, name="attributes")
AttributeArgument = Annotated[
    str, typer.Argument(metavar="ATTRIBUTE", help='A keyword, a tag (00180060), or private: "CREATOR",(0043,xx10).')
]


@attributes.command("add")
def add_attribute(
    attribute: AttributeArgument,
    config: ConfigOption = None,
    data: DataOption = None,
    level: Annotated[str, typer.Option(help="study, series or instance: what is found by it.")] = "series",
) -> None:
    """Make an attribute searchable, also in what is stored already; the archive may run.

    The archive looks through the older instances in the background; `pacs attributes list` shows how far it is. Until
    it is through, answers carry a warning.
    """
    from pacs.attributes_command import add  # noqa: PLC0415

    _change_attributes(config, data, lambda settings: add(settings, attribute, level, _out))


@attributes.command("list")
def list_attributes(config: ConfigOption = None, data: DataOption = None) -> None:
    """Show the attributes that were made searchable, and how far their values are kept."""
    from pacs.attributes_command import show  # noqa: PLC0415

    _change_attributes(config, data, lambda settings: show(settings, _out))


@attributes.command("remove")
def remove_attribute(attribute: AttributeArgument, config: ConfigOption = None, data: DataOption = None) -> None:
    """Make an attribute no longer searchable; its values are dropped."""
    from pacs.attributes_command import remove  # noqa: PLC0415

    _change_attributes(config, data, lambda settings: remove(settings, attribute, _out))


def _change_attributes(config: Path | None, data: Path | None, change: Callable[[Settings], None]) -> None:
    settings = _settings(config, data)
    log.configure(process="attributes", format=settings.log.format, level="WARNING")
    try:
        change(settings)
    except PacsError as problem:
        _fail(str(problem))


trash = typer.Typer(no_args_is_help=True, help="Delete studies, series or images; undo it; have them erased.")
app.add_typer(trash, name="trash")
SeriesOption = Annotated[str | None, typer.Option("--series", metavar="UID", help="Only this series of it.")]
InstanceOption = Annotated[str | None, typer.Option("--instance", metavar="UID", help="Only this image of the series.")]
HospitalOption = Annotated[str, typer.Option("--hospital", metavar="NAME", help="Whose it is.")]
DeletionArgument = Annotated[
    str, typer.Argument(metavar="DELETION", help="The beginning of its name, as `pacs trash list` shows it.")
]


@trash.command("put")
def put_into_trash(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Study Instance UID.")],
    reason: Annotated[str, typer.Option("--reason", metavar="WHY", help="Why; it is kept with who and when.")],
    config: ConfigOption = None,
    data: DataOption = None,
    series: SeriesOption = None,
    instance: InstanceOption = None,
    hospital: HospitalOption = "default",
) -> None:
    """Delete a study, or a series or image of it; the archive may run.

    It is out of everybody's sight at once. Until `lifecycle.trash_days` are over, `pacs trash restore` undoes it
    exactly; then the bytes are erased. An image that is sent again meanwhile is stored anew.
    """
    from pacs.trash_command import put  # noqa: PLC0415

    _change_trash(
        config,
        data,
        lambda settings: put(settings, study, series, instance, reason=reason, hospital=hospital, out=_out),
    )


@trash.command("list")
def list_trash(
    config: ConfigOption = None,
    data: DataOption = None,
    hospital: Annotated[str | None, typer.Option("--hospital", metavar="NAME", help="Only of this one.")] = None,
    history: Annotated[bool, typer.Option("--history", help="Also what was restored or erased.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Show what is in the trash: what it was, who deleted it, why, and until when it can be restored."""
    from pacs.trash_command import show  # noqa: PLC0415

    _change_trash(
        config,
        data,
        lambda settings: show(settings, hospital=hospital, with_history=history, as_json=as_json, out=_out),
    )


@trash.command("restore")
def restore_from_trash(
    deletion: DeletionArgument,
    config: ConfigOption = None,
    data: DataOption = None,
    series: SeriesOption = None,
    instance: InstanceOption = None,
    hospital: HospitalOption = "default",
) -> None:
    """Undo a deletion, or a part of it. Images that were sent again since stay as they came."""
    from pacs.trash_command import restore  # noqa: PLC0415

    _change_trash(
        config, data, lambda settings: restore(settings, deletion, series, instance, hospital=hospital, out=_out)
    )


@trash.command("erase")
def erase_from_trash(
    deletion: DeletionArgument,
    config: ConfigOption = None,
    data: DataOption = None,
    now: Annotated[bool, typer.Option("--now", help="Also under somebody who reads it at this moment.")] = False,
    hospital: HospitalOption = "default",
) -> None:
    """Have the running archive erase what is in the trash before its time; this cannot be undone.

    It waits until an hour after the deletion, when no answer that was begun before is still being sent.
    """
    from pacs.trash_command import erase  # noqa: PLC0415

    _change_trash(config, data, lambda settings: erase(settings, deletion, at_once=now, hospital=hospital, out=_out))


def _change_trash(config: Path | None, data: Path | None, change: Callable[[Settings], None]) -> None:
    settings = _settings(config, data)
    log.configure(process="trash", format=settings.log.format, level="ERROR")
    try:
        change(settings)
    except PacsError as problem:
        _fail(str(problem))


@app.command()
def status(
    config: ConfigOption = None,
    data: DataOption = None,
    http: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Where the running archive listens [default: 127.0.0.1:8080]."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Show what is stored, where, how full it is, and whether the running archive keeps its budgets."""
    from pacs.figures import figures, show  # noqa: PLC0415

    settings = _settings(config, data, {"http": _address(http, "--http")} if http else None)
    log.configure(process="status", format=settings.log.format, level="WARNING")
    try:
        found = figures(settings)
    except PacsError as problem:
        _fail(str(problem))
    if as_json:
        sys.stdout.write(json.dumps(found, indent=2, default=str) + "\n")
    else:
        show(found, _out)
