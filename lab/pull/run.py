"""`idprefer bundle pull`: repositories of a hub in, one sealed bundle out, the same bytes every time."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.backbone import CLASS_PROMPT, file_sha256
from lab.pretrain.bundle import seal, write_class_prompt
from lab.pull.assemble import Encoders, check_parts
from lab.pull.errors import LicenceNotAccepted, LockMismatch, PullFailed
from lab.pull.faces import copy_faces, use_pack
from lab.pull.hub import Hub, Listing, checked
from lab.pull.lock import Lock, LockedComponent, read_lock
from lab.pull.recipes import Component, Recipe

_PACK_TERMS = "https://github.com/deepinsight/insightface#license"


@dataclass(frozen=True)
class Terms:
    """One licence that comes with a bundle."""

    what: str
    source: str  # a repository, or a folder
    licence: str
    terms: str  # where to read it
    non_commercial: bool
    bytes: int  # to be fetched under it


@dataclass(frozen=True)
class Pull:
    """What is to be put together, and where."""

    recipe: Recipe
    folder: Path  # of the bundle
    lock: Path
    companion: Path  # a bundle whose detector, recognizers and quality network are used
    pack: Path | None = None  # an insightface pack, whose detector and recognizer are used instead
    endpoint: str | None = None  # of the hub; None: as HF_ENDPOINT says


def pull(
    wanted: Pull, accept: Callable[[Sequence[Terms]], bool], report: Callable[[str], None] = lambda line: None
) -> Path:
    """Bring and seal a bundle; returns its folder. A pull that was cut off goes on when called again.

    `accept` is shown every licence before the first byte; `report` is told of each file.
    LicenceNotAccepted, PullFailed, or LockMismatch where the bytes are not those of the lock file.
    """
    # 1. what there is, at the lock's revisions or at the newest
    lock = read_lock(wanted.lock, wanted.recipe)
    hub = Hub(wanted.endpoint)
    listings = {component.name: _listing(hub, component, lock) for component in wanted.recipe.components}
    # 2. the licences
    if not accept(_terms(wanted, listings)):
        raise LicenceNotAccepted(
            "the licences were not accepted, so nothing was fetched; --accept-licences accepts them"
        )
    _check_space(wanted, listings)
    # 3. the files, each checked before it takes its place; the lock grows with them
    for component in wanted.recipe.components:
        listing = listings[component.name]
        licence = component.licence or listing.licence or "not stated"
        locked = LockedComponent(component.repository, listing.revision, licence)
        locked = lock.components.setdefault(component.name, locked)
        lock.write(wanted.lock)
        for target, name in component.files.items():
            _fetch(hub, wanted.folder, target, name, locked, listing)
            lock.write(wanted.lock)
            report(target)
    shutil.rmtree(_partials(wanted.folder), ignore_errors=True)
    # 4. what the repositories do not have
    calibration = copy_faces(wanted.companion, wanted.folder)
    if wanted.pack is not None:
        calibration = use_pack(wanted.pack, wanted.folder, calibration)
    check_parts(wanted.folder)
    if not (wanted.folder / CLASS_PROMPT).exists():
        write_class_prompt(Encoders(wanted.folder), wanted.folder)
    _seal(wanted, lock, calibration)
    return wanted.folder


def _listing(hub: Hub, component: Component, lock: Lock) -> Listing:
    """Return a repository's content; PullFailed where it lacks a file of the recipe."""
    locked = lock.components.get(component.name)
    listing = hub.listing(component.repository, locked.revision if locked else None)
    for name in component.files.values():
        if name not in listing.files:
            there = ", ".join(sorted(listing.files)[:20])
            raise PullFailed(f"{component.repository} has no {name} at {listing.revision}; it has {there}")
    return listing


def _terms(wanted: Pull, listings: dict[str, Listing]) -> list[Terms]:
    terms = []
    for component in wanted.recipe.components:
        listing = listings[component.name]
        size = sum(listing.files[name].size for name in component.files.values())
        licence = component.licence or listing.licence or "not stated: read its model card"
        source = component.repository
        terms.append(Terms(component.name, source, licence, component.terms, component.non_commercial, size))
    if wanted.pack is not None:
        licence = "as its maker says; insightface's own packs are for non-commercial research only"
        terms.append(Terms("faces", str(wanted.pack), licence, _PACK_TERMS, True, 0))
    return terms


def _check_space(wanted: Pull, listings: dict[str, Listing]) -> None:
    """PullFailed where the disk is too small for what is still to come."""
    wanted.folder.mkdir(parents=True, exist_ok=True)
    missing = sum(
        listings[component.name].files[name].size
        for component in wanted.recipe.components
        for target, name in component.files.items()
        if not (wanted.folder / target).exists()
    )
    here = sum(path.stat().st_size for path in _partials(wanted.folder).rglob("*") if path.is_file())
    free = shutil.disk_usage(wanted.folder).free
    if free < missing - here:
        raise PullFailed(
            f"got {free / 1e9:.1f} GB free at {wanted.folder}, wanted {(missing - here) / 1e9:.1f}; free some"
        )


def _fetch(hub: Hub, folder: Path, target: str, name: str, locked: LockedComponent, listing: Listing) -> None:
    """Bring one file to its place, unless the very file is there, and record its hash where there was none."""
    file, place = listing.files[name], folder / target
    what, known = f"{locked.repository}/{name}", locked.files.get(target)
    if known is not None and file.sha256 is not None and file.sha256 != known:
        raise LockMismatch(
            f"the hub says that {what} has SHA-256 {file.sha256}, the lock file {known}; nothing was fetched"
        )
    wanted = known or file.sha256
    if place.exists() and known is not None and file_sha256(place) == known:
        return
    partial = _partials(folder) / f"{target}.{locked.revision}"
    checked(got := hub.download(locked.repository, locked.revision, name, partial, file), wanted, what, partial)
    place.parent.mkdir(parents=True, exist_ok=True)
    partial.replace(place)
    locked.files[target] = got


def _partials(folder: Path) -> Path:
    return folder / ".partial"


def _seal(wanted: Pull, lock: Lock, calibration: dict[str, object]) -> None:
    recipe = wanted.recipe
    licences = {name: f"{locked.licence} ({locked.repository})" for name, locked in lock.components.items()}
    licences["faces"] = (
        "as the pack's maker says" if wanted.pack is not None else f"as bundle {wanted.companion.name}'s"
    )
    about = {"name": recipe.name, "about": recipe.about, "resolution": recipe.resolution, "licences": licences}
    seal(wanted.folder, {**about, "calibration": calibration})
