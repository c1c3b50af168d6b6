"""Where bundles lie, and which photos a folder holds; torch-free."""

from pathlib import Path

from core.errors import MissingBundle, NoUsableReference
from core.photo_limits import PHOTO_ENDINGS

BUNDLES = Path(__file__).parent.parent / "bundles"
_MANIFEST = "bundle.json"


def bundle_folders() -> list[Path]:
    """Return the folders of the bundles that come along."""
    return sorted(path.parent for path in BUNDLES.glob(f"*/{_MANIFEST}"))


def find_bundle(name: str) -> Path:
    """Return the folder of a bundle, given that folder or the name of one that comes along."""
    for folder in (Path(name), BUNDLES / name):
        if (folder / _MANIFEST).is_file():
            return folder
    known = ", ".join(folder.name for folder in bundle_folders())
    raise MissingBundle(f"got bundle {name!r}, wanted a folder with {_MANIFEST} or one of: {known}")


def photos_in(folder: Path) -> list[Path]:
    """Return the photos of a folder by name; NoUsableReference where there is none."""
    if not folder.is_dir():
        raise NoUsableReference(f"got {folder}, which is no folder; wanted a folder of photos of the one person")
    # A name that begins with a dot is another program's: macOS leaves "._photo.jpg" beside a photo.
    files = [path for path in folder.iterdir() if not path.name.startswith(".")]
    photos = sorted(path for path in files if path.suffix.lower() in PHOTO_ENDINGS)
    if not photos:
        endings = ", ".join(sorted(PHOTO_ENDINGS))
        raise NoUsableReference(f"got {folder}, which holds no photo; wanted at least one of {endings}")
    return photos
