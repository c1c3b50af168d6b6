"""Every animal of the zoo is let into the decoder: none breaks it or holds it up, and only its pixels come through."""

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pytest

from core.decoder import Decoder
from core.errors import PreferError
from core.images import read_photo
from tests.api.service import Service, serving
from tests.trust.zoo import KINDS, PAYLOAD, Animal, cut_short, mutated, small

SECONDS = 3.0  # of a core: a machine that does much else must not fail this
CHILD_BYTES = 1 << 30


@dataclass
class Keeper:
    """Feeds one decoder of one child, and watches the child."""

    decoder: Decoder

    @property
    def pid(self) -> int | None:
        """Return the child's process, if it lives."""
        child = self.decoder._idle.queue[0]
        return None if child is None else child._process.pid

    def seconds(self) -> float:
        """Return how long the child has computed."""
        if self.pid is None:
            return 0.0
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_bytes(self) -> int:
        """Return the most memory that the child has had."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) << 10

    def complaints(self, animals: Iterable[Animal]) -> list[str]:
        """Return what went wrong."""
        assert self.decoder.decode(next(small()).data).width
        return [f"{animal.name}: {wrong}" for animal in animals for wrong in self._wrong(animal)]

    def _wrong(self, animal: Animal) -> Iterator[str]:
        before, pid, started = self.seconds(), self.pid, time.monotonic()
        refusal, png = "", b""
        try:
            png = self.decoder.decode(animal.data).png
        except PreferError as error:
            refusal = str(error)
        took, waited = self.seconds() - before, time.monotonic() - started
        if self.pid != pid:
            yield f"the child died after {waited:.1f} s ({refusal})"
            assert self.decoder.decode(next(small()).data).width
            return
        if took > SECONDS:
            yield f"{took:.1f} s of a core"
        if self.peak_bytes() > CHILD_BYTES:
            yield f"{self.peak_bytes() >> 20} MiB"
        if animal.fate == ("accepted" if refusal else "refused"):
            yield refusal or "was accepted"
        if refusal and ("got" not in refusal or "wanted" not in refusal):
            yield f"no reason: {refusal}"
        if png and (PAYLOAD in png or read_photo(png, limit_bytes=None).pixels.size == 0):
            yield "more than its pixels came through"


@pytest.fixture(scope="module")
def keeper() -> Iterator[Keeper]:
    """A decoder of one child, watched: by its own time, so that it may wait for a busy machine."""
    decoder = Decoder(children=1, seconds=300)
    yield Keeper(decoder)
    decoder.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service to which animals are sent."""
    with serving(tmp_path_factory.mktemp("service")) as running:
        yield running


def test_a_sample(keeper: Keeper) -> None:
    """Every second of the small ones, each form cut short at every fifth, and some mutants."""
    assert keeper.complaints([*islice(small(), 0, None, 2), *cut_short(20), *mutated(5)]) == []


def test_by_the_front_door(service: Service) -> None:
    """Sent as a photo, an animal is refused as the caller's problem or let in; the service never breaks."""
    tenant = service.tenant()
    sample = [*islice(small(), 1, None, 8), *islice(mutated(1), 6)]
    answers = {one.name: tenant.http.post("/v1/uploads", files={"file": one.data}) for one in sample}
    fates = {"accepted": {201}, "refused": {413, 422}, "either": {201, 413, 422}}
    assert [one.name for one in sample if answers[one.name].status_code not in fates[one.fate]] == []


@pytest.mark.prove
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", KINDS)
def test_the_whole_zoo(keeper: Keeper, kind: str) -> None:
    """Everything, every form cut off at every hundredth of its length, 2,000 mutants of each."""
    assert keeper.complaints(KINDS[kind]()) == []
