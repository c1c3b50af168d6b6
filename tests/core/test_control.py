"""Tests of looking at an LQ face once: the same numbers, and the ControlNet as it was."""

from copy import deepcopy

import pytest
import torch

from core.backbone import Backbone
from core.control import embedded_hints, hint_given, hint_kept


def residual(backbone: Backbone, hints: torch.Tensor, t: int) -> torch.Tensor:
    """Return what the ControlNet adds to the middle block."""
    prompt = backbone.class_prompt().expand(len(hints))
    z_t = torch.randn(len(hints), *backbone.latent_shape, generator=torch.Generator().manual_seed(t))
    added = backbone.added_conditions(prompt)
    return backbone.controlnet(z_t, t, prompt.embeds, hints, added_cond_kwargs=added, return_dict=False)[1]


@torch.no_grad()
def test_hint_kept(backbone: Backbone) -> None:
    """Every call gives the bits it gave, in either size of the batch; the stem runs once for each, and comes back."""
    controlnet, side = backbone.controlnet, backbone.resolution
    stem = controlnet.controlnet_cond_embedding
    calls: list[int] = []
    handle = stem.register_forward_hook(lambda _module, args, _output: calls.append(len(args[0])))
    hint = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))

    def shown(count: int, t: int) -> torch.Tensor:
        return residual(backbone, hint.expand(count, -1, -1, -1), t)

    places = [(2, 700), (2, 500), (1, 300), (1, 100)]
    wanted = [shown(*place) for place in places]
    calls.clear()
    with hint_kept(controlnet):
        assert all(torch.equal(shown(*place), want) for place, want in zip(places, wanted, strict=True))
        assert calls == [2, 1]
    assert controlnet.controlnet_cond_embedding is stem
    with pytest.raises(RuntimeError), hint_kept(controlnet):
        raise RuntimeError
    assert controlnet.controlnet_cond_embedding is stem
    handle.remove()


@pytest.mark.parametrize("order", ["rgb", "bgr"])
@torch.no_grad()
def test_hint_given(backbone: Backbone, order: str) -> None:
    """What the stem made of many pictures serves for any mixture of them, whatever their channels' order."""
    controlnet, side = backbone.controlnet, backbone.resolution
    usual, stem = controlnet.config.controlnet_conditioning_channel_order, controlnet.controlnet_cond_embedding
    hints = torch.rand(2, 3, 3, side, side, generator=torch.Generator().manual_seed(0))
    first, second = torch.tensor([1, 0, 1, 1]), torch.tensor([2, 0, 0, 2])
    controlnet.register_to_config(controlnet_conditioning_channel_order=order)
    try:
        wanted = residual(backbone, hints[first, second], 500)
        made = embedded_hints(controlnet, hints)[first, second]
        with hint_given(controlnet, made):
            assert torch.allclose(residual(backbone, torch.zeros(4, 3, 1, 1), 500), wanted, atol=1e-5)
    finally:
        controlnet.register_to_config(controlnet_conditioning_channel_order=usual)
    assert controlnet.controlnet_cond_embedding is stem


def test_the_stem_goes_along(backbone: Backbone) -> None:
    """A network that is moved while its stem is replaced takes the stem with it."""
    controlnet = deepcopy(backbone.controlnet)
    with hint_given(controlnet, torch.zeros(1)):
        controlnet.to("meta")
    assert {p.device.type for p in controlnet.parameters()} == {"meta"}
