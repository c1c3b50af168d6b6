"""`--server URL`: the same commands, with a service doing the work for one of its people; torch-free.

The key comes from IDPREFER_API_KEY, so that it stands in no shell history. The person, and their consent, are made in
the service beforehand.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import typer
from rich.console import Console
from rich.table import Table

from cli.boxes import Box
from cli.console import plain_console
from cli.folders import photos_in
from cli.outputs import check_apart, check_writable, picture_format, write
from cli.progress import step_bar
from core.errors import InvalidOption, NoUsableReference, PreferError
from idprefer_client import Client, ClientError, JobFailed
from idprefer_client.records import Job, JobEvent, Reference, Restoration

KEY = "IDPREFER_API_KEY"
_AT_ONCE = 20  # photos that the service takes in one request
_PATIENCE_SECONDS = 60  # for verdicts and restorations, in one request


class Refused(PreferError):
    """The service refused, failed or did not answer."""

    code: ClassVar[str] = "refused"


@dataclass(frozen=True)
class Place:
    """Which service, and whom of its people it is about."""

    server: str
    identity: str | None


@dataclass(frozen=True)
class RestoreChoices:
    """What a restoration by a service may be asked."""

    preset: str
    fidelity: float | None
    seed: int
    box: Box | None


def personalize(place: Place, folder: Path, output: Path, preset: str, seed: int) -> None:
    """Send the photos, show the verdicts, follow the training, and fetch the adapter."""
    identity, photos = _identity(place), photos_in(folder)
    check_writable(output)
    console = plain_console()
    with _client(place) as client:
        judged = [one for part in _parts(photos) for one in client.references.add(identity, part, _PATIENCE_SECONDS)]
        references = [client.references.get(one.id) for one in judged]
        _print(references, console)
        if not any(one.state == "accepted" for one in references):
            raise NoUsableReference(f"got {folder} without a photo that the service accepts, wanted at least one")
        job = _followed(client, client.trainings.start(identity, preset=preset, seed=seed))
        adapter = client.adapters.get(job.adapter_id or "")
        write(output, client.adapters.download(adapter.id))
    console.print(f"wrote {output}; the service keeps it as {adapter.id} ({adapter.state})")


def restore(
    place: Place, photo: Path, output: Path, choices: RestoreChoices, compared: Path | None, told: bool
) -> None:
    """Send a photo, wait, and fetch the result; `told`: print JSON instead of words."""
    identity, form = _identity(place), _form(output)
    for written in (output, compared):
        if written is not None:
            check_writable(written)
    check_apart(photo, output, compared)
    if not photo.is_file():
        raise InvalidOption(f"got {photo}, which is no file; wanted a photo")
    face: dict[str, Any] = {"identity_id": identity}
    if choices.box is not None:
        face["box"] = list(choices.box)
    options: dict[str, Any] = {"preset": choices.preset, "seed": choices.seed, "format": form}
    if choices.fidelity is not None:
        options["fidelity"] = choices.fidelity
    with _client(place) as client:
        asked = client.restorations.create(photo, faces=[face], wait_seconds=_PATIENCE_SECONDS, **options)
        client.jobs.wait(asked.job_id)
        done = client.restorations.get(asked.id)
        if compared is not None:
            write(compared, client.restorations.comparison(done.id))
        write(output, client.restorations.image(done.id))
    _tell(done, output, told)


def refuse(options: Mapping[str, object]) -> None:
    """InvalidOption where one of these was given: the service knows the person by itself."""
    if given := [name for name, value in options.items() if value is not None]:
        raise InvalidOption(f"got {given[0]} beside --server, wanted it without: it is for work on this machine")


def _identity(place: Place) -> str:
    if place.identity is None:
        raise InvalidOption("got --server without --identity, wanted the id of the person, as the service shows it")
    return place.identity


def _form(output: Path) -> str:
    form = picture_format(output)
    if form == "webp":
        raise InvalidOption(f"got output {output}, wanted a name that ends in .png or .jpg: the service makes these")
    return form


@contextmanager
def _client(place: Place) -> Iterator[Client]:
    """Yield a client; whatever the service says no to becomes one line."""
    key = os.environ.get(KEY)
    if not key:
        raise InvalidOption(f"got --server without a key, wanted one in the environment variable {KEY}")
    try:
        with Client(place.server, key) as client:
            yield client
    except JobFailed as error:
        raise Refused(f"the service says {error.code}: {error.detail}") from error
    except ClientError as error:
        raise Refused(f"{place.server} says {error}") from error


def _parts(photos: Sequence[Path]) -> Iterator[Sequence[Path]]:
    for first in range(0, len(photos), _AT_ONCE):
        yield photos[first : first + _AT_ONCE]


def _followed(client: Client, job: Job) -> Job:
    """Show a training's progress until it has ended."""
    with step_bar("learning") as report:

        def on_event(event: JobEvent) -> None:
            if event.type == "progress":
                report(int(event.data["step"]), int(event.data["total"]))

        return client.jobs.wait(job.id, on_event=on_event)


def _print(references: Sequence[Reference], console: Console) -> None:
    table = Table("photo", "quality", "looks", "used", box=None, title="References", title_justify="left")
    for one in references:
        score = "" if one.quality_score is None else f"{one.quality_score:.2f}"
        used = "yes" if one.state == "accepted" else f"{one.state}: {', '.join(one.reasons) or 'no verdict yet'}"
        table.add_row(one.filename or one.id, score, ", ".join(one.quality_words), used)
    console.print(table)


def _tell(done: Restoration, output: Path, told: bool) -> None:
    if told:
        faces = [asdict(face) for face in done.faces]
        about = {"restoration": done.id, "tier": done.tier_used, "seed": done.seed, "faces": faces, **done.evidence}
        typer.echo(json.dumps(about, indent=2, default=str))
        return
    plain_console().print(f"wrote {output} ({done.tier_used}); the service keeps it as {done.id}")
    if done.upgrade_available:
        plain_console().print("the person's adapter is on its way: restored again, it will be more alike")
