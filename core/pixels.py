"""Pictures as files have them and as networks take them."""

import numpy as np
import torch
from torch import Tensor


def to_tensor(pixels: np.ndarray) -> Tensor:
    """Turn pixels (H, W, 3) uint8 into (3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1).float() / 127.5 - 1


def to_pixels(x: Tensor) -> np.ndarray:
    """Turn x (3, H, W) in [-1, 1] into pixels (H, W, 3) uint8."""
    return ((x + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
