"""The VAE's encoder as an exact linear codec: the principal components of 8x8 patches, written into its weights.

An encoder learned from scratch on a few thousand photos needs hours to beat this (26 dB after 4,000 steps, where 16
principal components with their own linear decoder give 30 dB). Here the residual branches start at zero, the
downsampling convolutions gather 2x2 blocks, and the last non-linearity is passed in pairs, silu(a) - silu(-a) = a.
The decoder is learned, over this encoder frozen, on latents with noise added, so that it forgives the denoiser.
"""

import math
from typing import Any

import torch
from diffusers import AutoencoderKL
from diffusers.models.resnet import ResnetBlock2D
from einops import rearrange
from torch import Tensor, nn

_NOISE = 0.12  # of the posterior, relative to latents of unit variance
_CONSTANT = 50.0  # what a group norm's statistics are pinned with, against signals of about 1


@torch.no_grad()
def write_linear_encoder(vae: AutoencoderKL, crops: Tensor) -> None:
    """Write into the encoder the principal components of the 8x8 patches of crops (N, 3, S, S) in [-1, 1].

    Component k is scaled by its variance to the power -1/4: coarse components stay larger than fine ones, as a
    denoiser likes them, but the fine ones do not vanish in its loss.
    """
    _silence_residuals(vae.encoder)
    quarter = _blocks(_blocks(crops))  # (N, 48, S/4, S/4)
    gather = _principal(quarter, 40)
    eighth = _blocks(torch.einsum("kc,nchw->nkhw", gather, quarter))
    components = _principal(eighth, vae.config.latent_channels)
    coefficients = torch.einsum("kc,nchw->nkhw", components, eighth)
    spread = coefficients.std((0, 2, 3)) ** -0.5
    spread = spread / ((coefficients - coefficients.mean((0, 2, 3), keepdim=True)) * spread[:, None, None]).std()
    rows = components * spread[:, None]
    _write_gathering(vae.encoder, gather, rows)
    _write_output(vae, -(coefficients * spread[:, None, None]).mean((0, 2, 3)))


def _blocks(x: Tensor) -> Tensor:
    """Gather 2x2 blocks into channels: (N, C, H, W) -> (N, 4C, H/2, W/2), in the order (row, column, channel)."""
    return rearrange(x, "n c (h a) (w b) -> n (a b c) h w", a=2, b=2)


def _principal(x: Tensor, count: int) -> Tensor:
    """Return the first `count` principal directions (count, C) of x (N, C, H, W), largest first."""
    samples = rearrange(x, "n c h w -> (n h w) c").double()
    mean = samples.mean(0)
    _, vectors = torch.linalg.eigh((samples - mean).T @ (samples - mean))
    return vectors.flip(-1)[:, :count].T.float()


def _silence_residuals(encoder: Any) -> None:
    """Make every residual block pass its input through: channel for channel, zeros where there are more."""
    for module in encoder.modules():
        if isinstance(module, ResnetBlock2D):
            nn.init.zeros_(module.conv2.weight)
            nn.init.zeros_(module.conv2.bias)
            if module.conv_shortcut is not None:
                _pass_through(module.conv_shortcut)


def _pass_through(convolution: Any) -> None:
    """Write the identity on the channels that both sides have, at the kernel's centre."""
    nn.init.zeros_(convolution.weight)
    nn.init.zeros_(convolution.bias)
    centre = convolution.kernel_size[0] // 2
    for i in range(min(convolution.in_channels, convolution.out_channels)):
        convolution.weight[i, i, centre, centre] = 1.0


def _write_gathering(encoder: Any, gather: Tensor, rows: Tensor) -> None:
    """Write the three downsamplings: 2x2 pixels, then `gather` over 4x4, then the components `rows` over 8x8."""
    _pass_through(encoder.conv_in)
    first, second, third = (block.downsamplers[0].conv for block in encoder.down_blocks[:3])
    for convolution, matrix in ((first, torch.eye(12)), (second, gather), (third, rows)):
        nn.init.zeros_(convolution.weight)
        nn.init.zeros_(convolution.bias)
        kernel = rearrange(matrix, "k (a b c) -> k c a b", a=2, b=2)
        convolution.weight[: kernel.shape[0], : kernel.shape[1], :2, :2] = kernel


def _write_output(vae: AutoencoderKL, offset: Tensor) -> None:
    """Write the way from the components through the last norm and SiLU to mean and log variance."""
    encoder, count = vae.encoder, vae.config.latent_channels
    norm, last = encoder.conv_norm_out, encoder.mid_block.resnets[-1]
    width = norm.num_channels // norm.num_groups
    per_group = math.ceil(count / norm.num_groups)
    shortcut = encoder.down_blocks[-1].resnets[0].conv_shortcut
    for convolution in (shortcut, encoder.conv_out, vae.quant_conv):
        nn.init.zeros_(convolution.weight)
        nn.init.zeros_(convolution.bias)
    constants = width - 2 * per_group
    pinned = _CONSTANT * math.sqrt(constants / width)  # the standard deviation the constants give each group
    norm.bias.zero_()
    norm.weight.fill_(pinned)
    for k in range(count):
        channel = (k // per_group) * width + 2 * (k % per_group)
        shortcut.weight[channel, k], shortcut.weight[channel + 1, k] = 1.0, -1.0
        encoder.conv_out.weight[k, channel, 1, 1], encoder.conv_out.weight[k, channel + 1, 1, 1] = 1.0, -1.0
    for group in range(norm.num_groups):
        start = group * width + 2 * per_group
        signs = torch.tensor([1.0, -1.0]).repeat(constants // 2)
        last.conv2.bias[start : start + constants] = _CONSTANT * signs
    encoder.conv_out.bias[:count] = offset
    encoder.conv_out.bias[count:] = 2 * math.log(_NOISE)
    vae.quant_conv.weight[:, :, 0, 0] = torch.eye(2 * count)
