"""The studio, as a person uses it: `idprefer serve` as a process, and Chromium in front of it."""

from pathlib import Path

import pytest
from PIL import Image

from core.images import encode_photo
from tests.serving import MINI, ROOT, serving
from tests.studio.browser import DESKTOP, PHONE, browsing
from tests.studio.journey import Album, Journey
from tests.tiny_bundle import photo_of, write_whole_bundle

PORTRAITS = ROOT / "cli" / "demo_photos"
SCREENS = ROOT / ".work" / "studio"


def tiny_album(folder: Path) -> Album:
    """Write photos that the tiny bundle's detector understands: two people in the bad one."""

    def written(name: str, *places: tuple[int, int], seed: int) -> Path:
        path = folder / f"{name}.png"
        path.write_bytes(encode_photo(photo_of(*places, seed=seed)))
        return path

    references = [written(f"reference-{seed}", (240, 160), seed=seed) for seed in range(2)]
    return Album(references, written("nobody", seed=5), written("bad", (120, 160), (360, 160), seed=9))


def portrait_album(folder: Path) -> Album:
    """Return an album of one person of the showable portraits: two references, and a third photo spoilt."""
    bad, nobody = folder / "bad.jpg", folder / "nobody.png"
    with Image.open(PORTRAITS / "dwight_evans_3.jpg") as third:
        third.resize((40, 40)).resize((256, 256)).save(bad, quality=60)
    Image.new("RGB", (256, 256), (120, 140, 160)).save(nobody)
    return Album([PORTRAITS / f"dwight_evans_{number}.jpg" for number in (1, 2)], nobody, bad)


@pytest.mark.timeout(900)
def test_the_whole_journey(tmp_path: Path) -> None:
    """From the printed key to the signed receipt of the erasure, by clicking, and nothing serious by axe-core."""
    write_whole_bundle(tmp_path / "bundle")
    album = tiny_album(tmp_path)
    with serving(tmp_path / "data", tmp_path / "bundle") as served, browsing(tmp_path / "browser") as browser:
        journey = Journey(browser, served.address, tmp_path / "pictures")
        journey.sign_in(served.key)
        journey.add_person("Ada Lovelace")
        journey.add_photos(album)
        journey.train(steps=12)
        assert journey.models(steps=2).suffix == ".safetensors"
        journey.how()
        journey.restore(album.bad)
        journey.choose_face(2)
        journey.compare()
        journey.fits_a_phone("restored")
        journey.suits_the_night("restored")
        taken = journey.download()
        with Image.open(taken) as after, Image.open(album.bad) as before:
            assert after.size == before.size
            left = (0, 0, 240, 320)  # the other person; what random networks make of this one, the gate may turn down
            assert after.crop(left).tobytes() == before.crop(left).tobytes()
        journey.jobs("Ada Lovelace")
        receipt = journey.erase("Ada Lovelace")
        assert receipt
        journey.sign_out()


@pytest.mark.prove
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("screen", "size"), [("desktop", DESKTOP), ("phone", PHONE)])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_journey_with_faces(tmp_path: Path, screen: str, size: tuple[int, int], dark: bool) -> None:
    """The same with the bundled backbone and real portraits, on large and small screens; pictures are kept in .work."""
    pictures = SCREENS / f"{screen}-{'dark' if dark else 'light'}"
    album = portrait_album(tmp_path)
    browser_folder = tmp_path / "browser"
    with serving(tmp_path / "data", MINI) as served, browsing(browser_folder, size, dark) as browser:
        journey = Journey(browser, served.address, pictures)
        journey.sign_in(served.key)
        journey.add_person("Dwight Evans")
        journey.add_photos(album)
        journey.train()
        journey.how()
        journey.restore(album.bad)
        journey.compare()
        assert journey.download().stat().st_size > 0
        journey.jobs("Dwight Evans")
        assert journey.erase("Dwight Evans")
        journey.sign_out()
