"""The command line: every command with its options; what does the work is imported when a command runs."""

import errno
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli import service_app
from cli.boxes import corners
from core.errors import InvalidOption, PreferError
from core.options import LARGEST_SEED
from store.errors import StoreError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Restore bad photos of a person as that person: from a few photos of theirs, on this machine or as a service.",
)
bundle_app = typer.Typer(no_args_is_help=True, help="What a bundle of networks holds.")
adapter_app = typer.Typer(no_args_is_help=True, help="What a person's adapter holds, and other formats of it.")
app.add_typer(bundle_app, name="bundle")
app.add_typer(adapter_app, name="adapter")


def _seed(value: int) -> int:
    if not 0 <= value <= LARGEST_SEED:
        raise InvalidOption(f"got seed {value}, wanted a number from 0 to {LARGEST_SEED:,}")
    return value


def _without_server(identity: str | None) -> None:
    if identity is not None:
        raise InvalidOption("got --identity without --server, wanted both or neither: it is an id of a service's")


_MINI = "mini"
Bundle = Annotated[str, typer.Option(help="Name of a bundle, or its folder.")]
# None: not given, and so not refused beside --server.
BundleHere = Annotated[str | None, typer.Option(help="Name of a bundle, or its folder.", show_default=_MINI)]
Seed = Annotated[int, typer.Option(callback=_seed, help="The same seed gives the same bits on one machine.")]
Device = Annotated[str, typer.Option(help="A torch device; auto: the accelerator there is, else the CPU.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
Adapter = Annotated[Path, typer.Argument(help="What `personalize` wrote.")]
Server = Annotated[
    str | None,
    typer.Option(help="Let this service do the work; its key in IDPREFER_API_KEY.", envvar="IDPREFER_SERVER"),
]
Identity = Annotated[str | None, typer.Option(help="With --server: the person's id, as the service shows it.")]
References = Annotated[Path, typer.Option(help="Folder of photos of the one person.")]


@app.command()
def personalize(
    references: References,
    output: Annotated[Path, typer.Option("-o", "--output", help="The adapter to write (.safetensors).")],
    preset: Annotated[str, typer.Option(help="fast, balanced or best.")] = "balanced",
    bundle: BundleHere = None,
    seed: Seed = 0,
    resume: Annotated[bool, typer.Option(help="Go on from the checkpoint that Ctrl-C left.")] = False,
    server: Server = None,
    identity: Identity = None,
) -> None:
    """Learn a person from reference photos: writes an adapter."""
    if server is not None:
        from cli import remote

        remote.refuse({"--bundle": bundle, "--resume": resume or None})
        remote.personalize(remote.Place(server, identity), references, output, preset, seed)
        return
    from cli import personalize

    _without_server(identity)
    personalize.run(references, output, personalize.Choices(preset, bundle or _MINI, seed, resume))


@app.command()
def restore(
    photo: Annotated[Path, typer.Argument(help="The photo to restore.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="PNG, JPEG or WebP, by its ending.")],
    adapter: Annotated[Path | None, typer.Option(help="What `personalize` wrote.")] = None,
    references: Annotated[
        Path | None, typer.Option(help="Photos of the person: without an adapter, all there is to go by.")
    ] = None,
    fidelity: Annotated[
        float | None, typer.Option(help="0 = most like the references, 1 = most like the input.")
    ] = None,
    seed: Seed = 0,
    face: Annotated[int | None, typer.Option(help="Which face, counted from 0, largest first.")] = None,
    box: Annotated[str | None, typer.Option(metavar="X0,Y0,X1,Y1", help="Where the face is, in pixels.")] = None,
    steps: Annotated[int | None, typer.Option(help="Sampling steps.")] = None,
    preset: Annotated[str, typer.Option(help="fast, balanced or best.")] = "fast",
    comparison: Annotated[Path | None, typer.Option(help="Also write a before and after picture.")] = None,
    bundle: BundleHere = None,
    server: Server = None,
    identity: Identity = None,
    as_json: AsJson = False,
) -> None:
    """Restore a person's face in a photo; outside a soft square about it everything stays as it was, to the bit."""
    if server is not None:
        from cli import remote

        local = {"--adapter": adapter, "--references": references, "--face": face, "--steps": steps, "--bundle": bundle}
        remote.refuse(local)
        wishes = remote.RestoreChoices(preset, fidelity, seed, corners(box))
        remote.restore(remote.Place(server, identity), photo, output, wishes, comparison, as_json)
        return
    from cli import restore

    _without_server(identity)
    choices = restore.Choices(bundle or _MINI, adapter, references, fidelity, seed, face, box, steps, preset)
    restore.run(photo, output, choices, compared=comparison, as_json=as_json)


@app.command()
def demo(
    references: Annotated[Path | None, typer.Option(help="Your own photos of a person.")] = None,
    photo: Annotated[Path | None, typer.Option(help="Your own photo to restore, of the same person.")] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for what it makes.")] = Path("demo-output"),
    bundle: Bundle = _MINI,
) -> None:
    """Personalize and restore, from portraits that come along or from your own photos."""
    from cli import demo

    demo.run(references, photo, output, bundle)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Look at this machine and say what is missing and what to do about it."""
    from cli import doctor

    doctor.run(as_json)


@bundle_app.command("inspect")
def bundle_inspect(
    bundle: Annotated[str, typer.Argument(help="Name of a bundle, or its folder.")] = _MINI, as_json: AsJson = False
) -> None:
    """Print a bundle's sizes, resolution, licences and hashes, and the size of an adapter over it."""
    from cli import bundles

    bundles.inspect(bundle, as_json)


@bundle_app.command("pull")
def bundle_pull(
    bundle: Annotated[str, typer.Argument(help="sdxl is the one there is.")] = "sdxl",
    into: Annotated[Path | None, typer.Option(help="Folder of the bundle.", show_default="bundles/NAME")] = None,
    lock: Annotated[
        Path | None, typer.Option(help="Revisions and hashes, to be kept.", show_default="FOLDER.lock.json")
    ] = None,
    accept_licences: Annotated[bool, typer.Option("--accept-licences", help="Accept all that are shown.")] = False,
    faces: Annotated[
        Path | None, typer.Option(help="An insightface pack's folder, in place of mini's detector and recognizer.")
    ] = None,
    controlnet: Annotated[
        str | None, typer.Option(metavar="OWNER/NAME[/FOLDER]", help="Another ControlNet of the hub.")
    ] = None,
    endpoint: Annotated[str | None, typer.Option(help="Another hub than HF_ENDPOINT's.")] = None,
) -> None:
    """Put a full-size bundle together from a hub, after showing its licences; run again to go on."""
    from cli import pull

    pull.run(bundle, pull.Choices(into, lock, accept_licences, faces, controlnet, endpoint))


@adapter_app.command("inspect")
def adapter_inspect(adapter: Adapter, bundle: Bundle = _MINI, as_json: AsJson = False) -> None:
    """Check an adapter against its bundle and print what it says about itself."""
    from cli import adapters

    adapters.inspect(adapter, bundle, as_json)


@adapter_app.command("export")
def adapter_export(
    adapter: Adapter,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write into.")],
    form: Annotated[str, typer.Option("--format", help="diffusers is the one there is.")] = "diffusers",
    bundle: Bundle = _MINI,
) -> None:
    """Write an adapter's LoRA, and [V] as clip_l and clip_g, for other programs."""
    from cli import adapters

    adapters.export(adapter, output, form, bundle)


@app.command()
def pretrain(
    stage: Annotated[str, typer.Argument(help="Which network; a wrong name lists them.")],
    data: Annotated[
        Path,
        typer.Option(help="Folder of faces: photos.json, recognition/, people/, scenes.json; controlnet: any photos."),
    ],
    bundle: Annotated[Path, typer.Option(help="Folder of the bundle being made.")],
    work: Annotated[Path, typer.Option(help="Folder of checkpoints, curves, caches.")] = Path(".work/pretrain"),
    steps: Annotated[int | None, typer.Option(help="Training steps; each stage has its own default.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Examples a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of Adam, at its highest.")] = None,
    start: Annotated[
        Path | None, typer.Option(help="Bundle to begin with; for `backbone` (its denoiser) and `controlnet`.")
    ] = None,
    small_card: Annotated[bool, typer.Option("--small-card", help="Less memory, for `controlnet`.")] = False,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Train one network of a bundle; run again to go on where it stopped."""
    from cli import pretrain

    choices = pretrain.Choices(
        stage, data, bundle, work, steps, batch_size, learning_rate, seed, device, start, small_card
    )
    if stage == "controlnet":
        from cli import pretrain_controlnet

        pretrain_controlnet.run(choices)
    else:
        pretrain.run(choices)


@app.command()
def evaluate(
    dataset: Annotated[Path, typer.Option(help="Folder of person/photo.jpg: aligned crops, or whole photos.")],
    people: Annotated[str, typer.Option(help="tuning, sealed or all.")] = "tuning",
    protocol: Annotated[str, typer.Option(help="main, grid, ablation, sweep; several with commas.")] = "main",
    bundle: Bundle = _MINI,
    preset: Annotated[str, typer.Option(help="fast, balanced or best.")] = "balanced",
    report: Annotated[Path, typer.Option(help="Folder of the report; what it holds is not made again.")] = Path(
        ".work/evaluate"
    ),
    limit_people: Annotated[int | None, typer.Option(min=1, help="Only the first people.")] = None,
    photos: Annotated[int | None, typer.Option(min=1, help="Only the first test photos of each person.")] = None,
    severity: Annotated[str, typer.Option(help="light, medium, heavy; several with commas.")] = "light,medium,heavy",
    judges: Annotated[str, typer.Option(help="faceres, dlib, gate; several with commas.")] = "faceres,dlib,gate",
    judge_weights: Annotated[Path, typer.Option(help="faceres.json, as `make judge` leaves it.")] = Path(
        ".work/judges/faceres.json"
    ),
    frame: Annotated[str, typer.Option(help="aligned, whole, or auto: square pictures are aligned.")] = "auto",
    labels: Annotated[
        Path | None, typer.Option(help='JSON of {"person": "group"} or {"person/photo.jpg": ...}.')
    ] = None,
    results: Annotated[list[str] | None, typer.Option(help="NAME=DIR: another program's results, as a row.")] = None,
    controlnet: Annotated[
        str | None, typer.Option(help="Another bundle of the same base: every table once more, with its ControlNet.")
    ] = None,
    publishable: Annotated[
        bool, typer.Option("--publishable", help="A report without faces and names: figures and curves alone.")
    ] = False,
    write_inputs: Annotated[Path | None, typer.Option(help="Only write the degraded inputs into this folder.")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="train.NAME=VALUE or restore.NAME=VALUE, over the preset's.")
    ] = None,
    open_sealed: Annotated[str | None, typer.Option(help="Why the sealed people are looked at: recorded.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes beside each other; the cores are shared out.")] = 1,
    seed: Seed = 0,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Measure a bundle on people it never saw: tables with intervals, pictures, judges; run again to go on."""
    from cli import evaluate

    choices = evaluate.Choices(
        dataset, people, protocol, bundle, preset, limit_people, photos, severity, judges, judge_weights,
        evaluate.checked_frame(frame), labels, tuple(results or ()), controlnet, publishable, write_inputs,
        tuple(changes or ()), open_sealed, seed, device, jobs,
    )  # fmt: skip
    evaluate.run(choices, report, as_json)


service_app.add_to(app)


# No right to read, no room to write, a port that is taken: the system's own words say what to do.
_MENDED_OUTSIDE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EADDRINUSE)


def main(arguments: list[str] | None = None) -> None:
    """Run a command; what a person can mend becomes one line on stderr and exit code 2."""
    try:
        app(arguments)
    except (PreferError, StoreError) as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
    except OSError as error:
        if error.errno not in _MENDED_OUTSIDE:
            raise
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
