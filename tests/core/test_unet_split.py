"""Tests of the UNet in two halves."""

import pytest
import torch

from core.backbone import Backbone
from core.unet_split import Halfway, decode_half, encode_half


@pytest.mark.parametrize("controlled", [False, True])
@torch.no_grad()
def test_halves_equal_the_whole(backbone: Backbone, controlled: bool) -> None:
    """Encoder and decoder apart give what the UNet gives, with the ControlNet and without."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(2, *backbone.latent_shape, generator=generator)
    t, prompt = torch.tensor([40, 900]), backbone.class_prompt().expand(2)
    added = backbone.added_conditions(prompt)
    residuals, whole_kwargs = None, {}
    if controlled:
        hint = torch.rand(2, 3, backbone.resolution, backbone.resolution, generator=generator)
        down, middle = backbone.controlnet(z, t, prompt.embeds, hint, added_cond_kwargs=added, return_dict=False)
        # An untrained ControlNet gives zeros: move it, so that the test sees its residuals.
        down, middle = [d + 0.3 * torch.randn(d.shape, generator=generator) for d in down], middle + 0.5
        residuals = (down, middle)
        whole_kwargs = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
    whole = backbone.unet(z, t, prompt.embeds, added_cond_kwargs=added, **whole_kwargs).sample
    halfway = encode_half(backbone.unet, z, t, prompt, added, residuals)
    torch.testing.assert_close(decode_half(backbone.unet, halfway), whole, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_joined_halves(backbone: Backbone) -> None:
    """Two batches joined halfway decode as they do apart."""
    z = torch.randn(2, *backbone.latent_shape, generator=torch.Generator().manual_seed(0))
    prompt = backbone.class_prompt()
    parts = [
        encode_half(backbone.unet, z[i : i + 1], torch.tensor([100]), prompt, backbone.added_conditions(prompt))
        for i in range(2)
    ]
    apart = torch.cat([decode_half(backbone.unet, part) for part in parts])
    torch.testing.assert_close(decode_half(backbone.unet, Halfway.cat(parts)), apart, atol=1e-5, rtol=1e-4)
