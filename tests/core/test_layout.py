"""Tests of ways to spare memory or time: each gives what the plain layout gives."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from core.backbone import Backbone, load_backbone
from core.injector import Adapter
from core.layout import SMALL_CARD, Layout, Turns, fitting_layout
from core.options import RestoreOptions, TrainOptions
from core.references import Reference
from core.sampling import FaceCondition, sample
from core.training import train_injector

SHORT = TrainOptions(steps=2, batch_size=1, pivot=0.5)


@pytest.fixture(scope="module")
def lq(backbone: Backbone) -> Tensor:
    """One face of nobody."""
    side = backbone.resolution
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(5)) * 2 - 1


def restored(backbone: Backbone, lq: Tensor, adapter: Adapter) -> Tensor:
    """Restore with everything on."""
    condition = FaceCondition(0, adapter.prompt, adapter, adapter.references[0], 2.0)
    return sample(backbone, lq, [condition], RestoreOptions(steps=2))


def same_adapters(one: Adapter, other: Adapter) -> bool:
    """Say whether two trainings gave the same bits."""
    return all(torch.equal(one.lora[name], other.lora[name]) for name in one.lora)


def test_offloading(
    tiny_folder: Path, backbone: Backbone, references: Sequence[Reference], alice: Adapter, lq: Tensor
) -> None:
    """Networks take turns, what a gradient passes through stays, and nothing else changes."""
    sparing = load_backbone(tiny_folder, layout=Layout(offload=True))
    assert sparing.turns is not None
    assert sparing.turns.present == set()
    assert torch.equal(restored(sparing, lq, alice), restored(backbone, lq, alice))
    assert sparing.turns.present == {"controlnet"}
    assert same_adapters(train_injector(sparing, references, SHORT), train_injector(backbone, references, SHORT))
    assert sparing.turns.present == {"text"}
    with_control = TrainOptions(steps=1, batch_size=1, control=True)
    train_injector(sparing, references, with_control)
    restored(sparing, lq, alice)
    assert sparing.turns.present == {"controlnet"}


def test_turns_hold_what_has_a_graph() -> None:
    """A network called with gradients on is not sent away before it was called without."""
    turns = Turns(torch.device("cpu"))
    first, second = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    turns.add("first", first)
    turns.add("second", second)
    first(torch.zeros(1, 2))
    second(torch.zeros(1, 2))
    assert turns.present == {"first", "second"}
    with torch.no_grad():
        first(torch.zeros(1, 2))
        assert turns.present == {"first", "second"}
        second(torch.zeros(1, 2))
        assert turns.present == {"second"}
        first(torch.zeros(1, 2))
    assert turns.present == {"first"}


def test_checkpointing(tiny_folder: Path, backbone: Backbone, references: Sequence[Reference]) -> None:
    """Activations computed again give the same training, to the bit."""
    sparing = load_backbone(tiny_folder, layout=Layout(checkpointed=True))
    assert same_adapters(train_injector(sparing, references, SHORT), train_injector(backbone, references, SHORT))


def test_tiled_vae(tiny_folder: Path, lq: Tensor) -> None:
    """The decoder never sees more than a quarter of the crop at once, and the picture is whole."""
    tiled = load_backbone(tiny_folder, layout=Layout(tiled_vae=True))
    seen: list[int] = []
    tiled.vae.decoder.register_forward_pre_hook(lambda _module, args: seen.append(args[0].shape[-1]))
    with torch.no_grad():
        z = tiled.encode(lq)
        assert z.shape[1:] == tiled.latent_shape
        assert tiled.decode(z).shape == lq.shape
    assert max(seen) == tiled.latent_shape[-1] // 2


def test_channels_last(tiny_folder: Path, backbone: Backbone, lq: Tensor, alice: Adapter) -> None:
    """Another memory order changes rounding only."""
    turned = load_backbone(tiny_folder, layout=Layout(channels_last=True))
    assert (restored(turned, lq, alice) - restored(backbone, lq, alice)).abs().max() < 1e-2


def test_half_precision(tiny_folder: Path, lq: Tensor, alice: Adapter) -> None:
    """In fp16 whatever is differentiated, and a VAE that says it overflows, stay in fp32."""
    half = load_backbone(tiny_folder, dtype=torch.float16)
    assert json.loads((tiny_folder / "vae" / "config.json").read_text())["force_upcast"] is True
    assert half.unet.dtype == half.controlnet.dtype == torch.float16
    assert half.vae.dtype == torch.float32
    assert half.preview_decoder is not None
    assert half.preview_decoder.dtype == torch.float32
    assert restored(half, lq, alice).isfinite().all()


def test_layout_that_fits() -> None:
    """SDXL's 9 GB on a card of 12 GB are laid out sparingly, on one of 80 GB and on a CPU they are not."""
    assert fitting_layout(9 << 30, 12 << 30) == SMALL_CARD
    assert fitting_layout(9 << 30, 80 << 30) == fitting_layout(9 << 30, None) == Layout()


@pytest.mark.prove
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's own compiler loads it
def test_compiled(tiny_folder: Path, backbone: Backbone, lq: Tensor, alice: Adapter, bob: Adapter) -> None:
    """Compiled blocks take LoRA in and out like the others."""
    compiled = load_backbone(tiny_folder, layout=Layout(compiled=True))
    for adapter in (alice, bob):
        assert (restored(compiled, lq, adapter) - restored(backbone, lq, adapter)).abs().max() < 1e-2
