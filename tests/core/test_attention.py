"""Tests of attention on a CPU: both ways give the same, and the inputs alone choose."""

import torch

from core.attention import CpuAttention
from core.backbone import Backbone


@torch.no_grad()
def test_cpu_attention(backbone: Backbone) -> None:
    """In fp32 it is torch's fused attention to the bit; in bf16 it is that to rounding."""
    attention = next(module for module in backbone.unet.modules() if hasattr(module, "processor"))
    assert isinstance(attention.processor, CpuAttention)
    x = torch.randn(2, 64, attention.query_dim, generator=torch.Generator().manual_seed(0))
    fused = attention.processor._fused(attention, x)
    assert torch.equal(attention(x), fused)
    with torch.autocast("cpu", torch.bfloat16):
        half = attention(x)
        assert torch.equal(half, attention.processor._plain(attention, x))
    assert (half - fused).abs().max() < 0.05 * fused.abs().max()
