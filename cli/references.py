"""A folder of reference photos -> what can be learned from, and a table that says of each photo why or why not."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from core.assessment import Assessment, accepted_references, assess_photo, compared
from core.backbone import Backbone
from core.errors import ImageTooLarge, NoUsableReference, UnreadableImage
from core.images import read_photo_file
from core.references import Reference


@dataclass(frozen=True)
class Verdict:
    """What is made of one file."""

    path: Path
    assessment: Assessment | None  # None: no image
    explanation: str = ""

    @property
    def usable(self) -> bool:
        """Say whether the photo can be learned from."""
        return self.assessment is not None and self.assessment.accepted


def read_references(backbone: Backbone, photos: Sequence[Path]) -> list[Verdict]:
    """Judge reference photos, alone and among the others."""
    verdicts = [_verdict(backbone, path) for path in photos]
    seen = {i: verdict.assessment for i, verdict in enumerate(verdicts) if verdict.assessment is not None}
    together = compared(backbone, list(seen.values()), [photos[i].name for i in seen])
    for i, assessment in zip(seen, together, strict=True):
        verdicts[i] = Verdict(photos[i], assessment, assessment.explanation)
    return verdicts


def usable_references(verdicts: Sequence[Verdict], folder: Path) -> list[Reference]:
    """Return what can be learned from; NoUsableReference, with the reasons, where that is nothing."""
    references = accepted_references([verdict.assessment for verdict in verdicts if verdict.assessment is not None])
    if not references:
        reasons = "; ".join(f"{verdict.path.name}: {verdict.explanation}" for verdict in verdicts[:5])
        raise NoUsableReference(f"got {folder} without a usable photo, wanted at least one ({reasons})")
    return references


def print_table(verdicts: Sequence[Verdict], console: Console) -> None:
    """Print quality score and words of every photo, and why one was refused; warn where only one is left."""
    table = Table("photo", "quality", "looks", "used", box=None, title="References", title_justify="left")
    for verdict in verdicts:
        reference = verdict.assessment.reference if verdict.assessment is not None else None
        score, words = ("", "") if reference is None else (f"{reference.quality.score:.2f}", _words(reference))
        table.add_row(verdict.path.name, score, words, _used(verdict))
    console.print(table)
    if sum(verdict.usable for verdict in verdicts) == 1:
        console.print("warning: only one photo can be used; about five make a better likeness", style="yellow")


def print_refused(verdicts: Sequence[Verdict], console: Console) -> None:
    """Print how many photos are used and why others are not, where there are such or one may be somebody else's."""
    if remarkable := [verdict for verdict in verdicts if verdict.explanation]:
        usable = sum(verdict.usable for verdict in verdicts)
        console.print(f"{usable} of {len(verdicts)} reference photos are used", style="yellow")
        for verdict in remarkable:
            console.print(f"  {verdict.path.name}: {_used(verdict)}", style="yellow")


def _used(verdict: Verdict) -> str:
    if not verdict.explanation:
        return "yes"
    return f"yes, but {verdict.explanation}" if verdict.usable else f"no: {verdict.explanation}"


def _verdict(backbone: Backbone, path: Path) -> Verdict:
    try:
        photo = read_photo_file(path)
    except (UnreadableImage, ImageTooLarge) as error:
        return Verdict(path, None, str(error).removeprefix(f"{path}: "))
    return Verdict(path, assess_photo(backbone, photo))


def _words(reference: Reference) -> str:
    return ", ".join(reference.quality.words)
