"""`idprefer evaluate`: the tables of a protocol on a folder of people, with intervals, pictures and judges."""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, cast, get_args

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table as Printed
from rich.text import Text

from cli import bundles
from cli.console import plain_console
from cli.folders import find_bundle
from core.backbone import Backbone
from core.errors import InvalidOption
from lab.evaluate.dataset import Frame, Skipped, list_people
from lab.evaluate.manifest import SEVERITIES, Manifest, make_manifest, read_committed
from lab.evaluate.measuring import measures
from lab.evaluate.openings import SEALED, Opening, chosen_people, record, tagged_commit
from lab.evaluate.people import EvaluatedPerson, read_people
from lab.evaluate.perceptual import load_perceptual, own_quality
from lab.evaluate.plugged import controlnet_of
from lab.evaluate.report import About, Evaluation, write_report
from lab.evaluate.restoring import Report, Studio, write_inputs
from lab.evaluate.rows import Table, tables, with_controlnet, with_others
from lab.evaluate.run import evaluated, face_count, judge_panel
from lab.evaluate.shares import Prepared, make_in_shares
from lab.evaluate.statistics import ends
from lab.judges.panel import load_judges

_ROOT = Path(__file__).parent.parent
_OPENINGS = _ROOT / "docs" / "results" / "openings.md"
_PATHS = (
    "--dataset",
    "--bundle",
    "--report",
    "--judge-weights",
    "--labels",
    "--results",
    "--write-inputs",
    "--controlnet",
)


@dataclass(frozen=True)
class Choices:
    """What the command line asks for."""

    dataset: Path
    people: str  # tuning, sealed or all
    protocols: str  # names with commas between them
    bundle: str
    preset: str
    limit_people: int | None
    photos: int | None  # test photos of each person
    severities: str  # names with commas between them
    judges: str  # names with commas between them
    judge_weights: Path
    frame: Frame
    labels: Path | None  # JSON: person or person/photo -> group
    results: tuple[str, ...]  # NAME=DIR: another program's results
    controlnet: str | None  # a bundle whose ControlNet restores all of it once more
    publishable: bool  # nobody's face or name in the report
    write_inputs: Path | None  # only write the degraded inputs there
    changes: tuple[str, ...]  # train.NAME=VALUE or restore.NAME=VALUE: other options than the preset's
    open_sealed: str | None  # why the sealed people are looked at
    seed: int
    device: str
    jobs: int  # processes that make pictures


def checked_frame(frame: str) -> Frame:
    """Return what a dataset's pictures are; InvalidOption for a word that says nothing of it."""
    for known in get_args(Frame):
        if frame == known:
            return cast(Frame, known)
    raise InvalidOption(f"got frame {frame!r}, wanted one of {', '.join(get_args(Frame))}")


def run(choices: Choices, folder: Path, as_json: bool) -> None:
    """Evaluate, write the report's folder, and print the tables."""
    console = plain_console(stderr=as_json)
    # 1. whom and what
    wanted, labels = _tables(choices), _labels(choices.labels)
    manifest, few = _manifest(choices)
    backbone = bundles.load(choices.bundle, choices.device)
    wanted = _and_plugged(choices, backbone, wanted)
    # 2. who judges, on the tuning people's own photos
    judges = load_judges(choices.judges.split(","), choices.judge_weights, backbone)
    perceptual, missing = load_perceptual()
    perceptual |= own_quality(backbone)
    commit = _opened(choices, manifest, backbone) or _commit()
    people, skipped = _read(choices, manifest, backbone)
    manifest = Manifest(tuple(person.entry for person in people))
    console.print(f"manifest {manifest.sha256}, {len(people)} people, {_source(manifest)}")
    if choices.write_inputs is not None:
        count = write_inputs(people, list(dict.fromkeys(n for t in wanted for n in t.inputs)), choices.write_inputs)
        console.print(f"wrote {count} inputs to {choices.write_inputs}")
        return
    panel = judge_panel(judges, _tuning_people(choices, backbone) or people)
    # 3. pictures and figures
    if choices.jobs > 1:
        with _progress(console, face_count(wanted, people)) as report:
            make_in_shares(partial(_prepared, choices), len(people), folder / "made", choices.jobs, report)
    with _progress(console, face_count(wanted, people)) as report:
        studio = Studio(backbone, folder / "made", report)
        done = tuple(evaluated(studio, table, people, judges, perceptual) for table in wanted)
    # 4. the report
    evaluation = Evaluation(
        _about(choices, manifest, backbone, commit, people),
        done,
        panel,
        measures(judges, list(perceptual)),
        missing,
        (*(Skipped(name, "too few photos: six are needed") for name in few), *skipped),
        tuple(people),
        labels,
        choices.publishable,
    )
    kind = ["publishable"] if choices.publishable else []  # never beside pictures of an earlier run
    written = folder / "-".join([*choices.protocols.split(","), choices.preset, *choices.changes, *kind])
    told = write_report(evaluation, written)
    if as_json:
        typer.echo(json.dumps(told, indent=2))
    else:
        _print(console, told, written)


def _prepared(choices: Choices) -> Prepared:
    """Return what a process needs to make pictures."""
    backbone = bundles.load(choices.bundle, choices.device)
    wanted = _and_plugged(choices, backbone, _tables(choices))
    return Prepared(backbone, wanted, _read(choices, _manifest(choices)[0], backbone)[0])


def _tables(choices: Choices) -> list[Table]:
    severities = choices.severities.split(",")
    if unknown := [name for name in severities if name not in SEVERITIES]:
        raise InvalidOption(f"got severity {unknown[0]!r}, wanted some of {', '.join(SEVERITIES)}")
    names = choices.protocols.split(",")
    changes = _changes(choices.changes)
    made = [table for name in names for table in tables(name, choices.preset, severities, choices.seed, changes)]
    return [with_others(table, _results(choices.results)) for table in made]


def _and_plugged(choices: Choices, backbone: Backbone, made: list[Table]) -> list[Table]:
    """Return the tables, and each of them with the other ControlNet where one is asked for."""
    if choices.controlnet is None:
        return made
    controlnet = controlnet_of(find_bundle(choices.controlnet), backbone)
    return made + [with_controlnet(table, controlnet) for table in made]


def _changes(pairs: Sequence[str]) -> dict[str, Any]:
    """Return changed options by name; a value that is no JSON is a word."""
    changes = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        try:
            changes[name] = json.loads(value)
        except ValueError:
            changes[name] = value
    return changes


def _results(pairs: Sequence[str]) -> dict[str, Path]:
    """Return the folders of other programs' results by name."""
    results = {}
    for pair in pairs:
        name, _, folder = pair.partition("=")
        if not name or not folder or not Path(folder).is_dir():
            raise InvalidOption(f"got --results {pair!r}, wanted NAME=DIR with a folder as --write-inputs lays it out")
        results[name] = Path(folder)
    return results


def _manifest(choices: Choices) -> tuple[Manifest, list[str]]:
    """Return the manifest of whoever is asked for, and who has too few photos."""
    photos = list_people(choices.dataset)
    manifest, few = make_manifest({person: photos[person] for person in chosen_people(photos, choices.people)})
    if not manifest.people:
        raise InvalidOption(
            f"got nobody with six photos or more in {choices.dataset}, wanted five references and a test"
        )
    return manifest.limited(choices.limit_people, choices.photos), few


def _source(manifest: Manifest) -> str:
    """Say whether the manifest is the committed one, or a part of it."""
    return "of the committed manifest" if manifest.is_part_of(read_committed()) else "drawn from this dataset's names"


def _opened(choices: Choices, manifest: Manifest, backbone: Backbone) -> str | None:
    """Record that sealed people are looked at, and return the tagged commit; None where nobody sealed is."""
    if not any(person.person in SEALED for person in manifest.people):
        return None
    if choices.open_sealed is None:
        raise InvalidOption(
            "got sealed people, who are looked at once and never tuned on; wanted --open-sealed REASON, which goes "
            f"into {_OPENINGS.relative_to(_ROOT)}"
        )
    commit = tagged_commit(_ROOT)
    bundle, protocols = f"{backbone.name} {backbone.digest[:12]}", f"{choices.protocols} ({choices.preset})"
    why = choices.open_sealed.replace("|", "/").replace("\n", " ")
    record(Opening(_today(), commit, bundle, manifest.sha256[:16], protocols, why), _OPENINGS)
    return commit


def _read(choices: Choices, manifest: Manifest, backbone: Backbone) -> tuple[list[EvaluatedPerson], list[Skipped]]:
    people, skipped = read_people(choices.dataset, manifest, backbone, choices.frame)
    if not people:
        raise InvalidOption(f"got nobody in {choices.dataset} whose photos can be used: {skipped[0].reason}")
    return people, skipped


def _tuning_people(choices: Choices, backbone: Backbone) -> list[EvaluatedPerson]:
    """Return everybody who is not sealed: the judges are tried on them, whoever is restored."""
    photos = list_people(choices.dataset)
    manifest, _ = make_manifest({person: files for person, files in photos.items() if person not in SEALED})
    return read_people(choices.dataset, manifest, backbone, choices.frame)[0]


def _labels(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        labels = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InvalidOption(f"got --labels {path}, which cannot be read ({error}); wanted JSON") from None
    if not isinstance(labels, dict) or not all(isinstance(group, str) for group in labels.values()):
        raise InvalidOption(
            f'got --labels {path} of another form, wanted {{"person": "group"}} or {{"person/photo.jpg": "group"}}'
        )
    return labels


def _about(
    choices: Choices, manifest: Manifest, backbone: Backbone, commit: str, people: Sequence[EvaluatedPerson]
) -> About:
    return About(
        command=shlex.join(["idprefer", *(_without_folders(sys.argv[1:]) if choices.publishable else sys.argv[1:])]),
        commit=commit,
        bundle=backbone.name,
        bundle_digest=backbone.digest,
        preset=" ".join([choices.preset, *choices.changes]),
        device=str(backbone.device),
        manifest_sha256=manifest.sha256,
        manifest_source=_source(manifest),
        people=choices.people,
        person_count=len(people),
        photos=_photos(people),
        date=_today(),
    )


def _without_folders(arguments: Sequence[str]) -> list[str]:
    """Return a command line with a word for each path: a report that may be published tells nobody's folders."""
    shown, hide = [], False
    for argument in arguments:
        name, has_value, _ = argument.partition("=")
        if hide:
            argument = "PATH"
        elif name in _PATHS and has_value:
            argument = f"{name}=PATH"
        hide = name in _PATHS and not has_value and not hide
        shown.append(argument)
    return shown


def _photos(people: Sequence[EvaluatedPerson]) -> str:
    """Say how many photos were used and how they were cut: a square photograph taken for a crop would tell here."""
    used = [photo for person in people for photo in person.photos.values()]
    whole = [photo for photo in used if photo.faces]
    several = sum(photo.faces > 1 for photo in whole)
    cut = f"{len(whole)} cut out of whole photographs (the largest of several faces in {several})"
    return f"{len(used)}: {cut}, {len(used) - len(whole)} aligned crops already"


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def _commit() -> str:
    """Return this code's commit, or "unknown" where it is no git repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


@contextmanager
def _progress(console: Console, faces: int) -> Iterator[Report]:
    """Show how many faces are done, and what is being done."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task("starting", total=faces)

        def report(what: str, done: int) -> None:
            progress.update(task, description=what, advance=done)

        yield report


def _print(console: Console, told: dict[str, Any], folder: Path) -> None:
    """Print the judges and, of each table, the figures that matter most."""
    console.print(_judges(told))
    for table in told["tables"]:
        console.print(_figures(table, [f"id.{judge['name']}" for judge in told["judges"]], told["headline"]))
    if told["verdicts"]:
        console.print(_claims(told["verdicts"]))
    for name, why in told["missing_metrics"].items():
        console.print(f"{name}: missing, {why}")
    for skipped in told["skipped"]:
        console.print(f"skipped {skipped['name']}: {skipped['reason']}")
    console.print(f"report: {folder / 'index.html'}")


def _judges(told: dict[str, Any]) -> Printed:
    printed = Printed("judge", "part", "AUC", "same", "strangers", "headline", title="Judges", title_justify="left")
    for judge in told["judges"]:
        figures = ["" if judge[key] is None else f"{judge[key]:.3f}" for key in ("auc", "same", "strangers")]
        part = f"has taken part: {judge['part']}" if judge["part"] else "took no part"
        printed.add_row(judge["name"], part, *figures, "yes" if judge["headline"] else "no")
    return printed


def _claims(verdicts: Sequence[dict[str, Any]]) -> Printed:
    printed = Printed("claim", "wanted", "measured", "", title="Claims", title_justify="left")
    for verdict in verdicts:
        said = "holds" if verdict["holds"] else Text("does not hold", "red")
        printed.add_row(verdict["claim"], verdict["wanted"], verdict["got"], said)
    return printed


def _figures(table: dict[str, Any], ids: Sequence[str], headline: str | None) -> Printed:
    """Return a table of means; where a judge may carry a headline, with the gain over the baseline."""
    printed = Printed("row", "PSNR", "SSIM", *ids, "s a face", title=table["title"], title_justify="left")
    if headline is not None:
        printed.add_column(f"{headline} over {table['baseline']}")
    for name in dict.fromkeys(line["input"] for line in table["lines"]):
        printed.add_section()
        printed.add_row(Text(name, "bold"))
        for line in (line for line in table["lines"] if line["input"] == name):
            values = line["values"]
            means = [f"{values['psnr']['mean']:.2f}", *(f"{values[key]['mean']:.3f}" for key in ("ssim", *ids))]
            gain = [] if headline is None else [_gain(line["gains"].get(headline))]
            seconds = "" if line["seconds"] is None else f"{line['seconds']:.2f}"
            printed.add_row(line["row"], *means, seconds, *gain)
    return printed


def _gain(gain: dict[str, float] | None) -> str:
    return "" if gain is None else f"{gain['mean']:+.3f} ({ends(gain['low'], gain['high'], 3, '+')})"
