"""Tests of looking at the LQ face once: the same numbers, and the ControlNet as it was."""

import pytest
import torch

from core.backbone import Backbone
from core.control import hint_kept


@torch.no_grad()
def test_hint_kept(backbone: Backbone) -> None:
    """Every call gives the bits it gave, in either size of the batch; the stem runs once for each, and comes back."""
    controlnet, side = backbone.controlnet, backbone.resolution
    stem = controlnet.controlnet_cond_embedding
    calls: list[int] = []
    handle = stem.register_forward_hook(lambda _module, args, _output: calls.append(len(args[0])))
    hint = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))

    def residual(count: int, t: int) -> torch.Tensor:
        prompt = backbone.class_prompt().expand(count)
        z_t = torch.randn(count, *backbone.latent_shape, generator=torch.Generator().manual_seed(t))
        added = backbone.added_conditions(prompt)
        hints = hint.expand(count, -1, -1, -1)
        return controlnet(z_t, t, prompt.embeds, hints, added_cond_kwargs=added, return_dict=False)[1]

    places = [(2, 700), (2, 500), (1, 300), (1, 100)]
    wanted = [residual(*place) for place in places]
    calls.clear()
    with hint_kept(controlnet):
        assert all(torch.equal(residual(*place), want) for place, want in zip(places, wanted, strict=True))
        assert calls == [2, 1]
    assert controlnet.controlnet_cond_embedding is stem
    with pytest.raises(RuntimeError), hint_kept(controlnet):
        raise RuntimeError
    assert controlnet.controlnet_cond_embedding is stem
    handle.remove()
