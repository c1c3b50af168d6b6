"""Crops and what became of them: example number i is the same in every run, on however many machines."""

from torch import Generator, Tensor, randint
from torch.utils.data import Dataset

from core.degradation import degrade, draw, draw_second_order
from lab.pretrain.controlnet.photos import Crops

_SECOND_ORDER = 0.5  # share of the examples degraded twice


class Examples(Dataset[tuple[Tensor, Tensor, int]]):
    """Numbers from 0 on -> the crop (3, S, S) in [-1, 1], its hint (3, S, S) in [0, 1], the seed of its noise.

    That seed is drawn, not counted: a generator seeded by the number again would tie an example's t to its face.
    """

    def __init__(self, crops: Crops, count: int, seed: int) -> None:
        self._crops, self._count, self._seed = crops, count, seed

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor, int]:
        generator = Generator().manual_seed(self._seed * 1_000_003 + number)
        face = self._crops.faces[int(randint(len(self._crops.faces), (), generator=generator))]
        x = face.load(self._crops.folder, self._crops.side)
        if int(randint(2, (), generator=generator)):
            x = x.flip(-1)
        twice = float(randint(1000, (), generator=generator)) < 1000 * _SECOND_ORDER
        lq = x
        for degradation in draw_second_order(generator) if twice else [draw(generator, None)]:
            lq = degrade(lq, degradation, generator)
        return x, (lq + 1) / 2, int(randint(2**31, (), generator=generator))
