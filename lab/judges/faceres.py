"""FaceRes, a recognizer nobody here trained: a MobileNet taught age, gender and identity on VGGFace2 by HSE.

The weights ship in the npm package `@vladmandic/human` (MIT) as a TensorFlow.js graph; a MobileNet v1 is a chain of
plain convolutions, so it is read straight into torch. `make judge` fetches them.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from core.errors import InvalidOption

BATCH = 16  # crops at a time: the activations of more would not stay in a processor's cache
# What `make judge` brings (package version 3.3.6): published figures are of these very weights.
_SHA256 = {
    "faceres.json": "5b83d49c0385d2e68a05122441b94226313677cae9fcc40b9587ad50079eb4df",
    "faceres.bin": "2c7d2d62b76c97528b736527aa09d310ea71743c9e3e79fb6c62d4b2d73af79b",
}
# Left, top, side of what it looks at, in FFHQ's 256 px frame: of eight windows the one that told the tuning people's
# own photos apart best (AUC 0.974; the whole crop: 0.967). No restoration was looked at for it.
_WINDOW = (24, 32, 208)
_STRIDED = (2, 4, 6, 12)  # depthwise blocks that halve the picture
_ITEM = {"float32": np.float32, "float16": np.float16, "int32": np.int32}


class FaceRes:
    """Aligned FFHQ-frame crops (B, 3, H, W) in [-1, 1] -> unit embeddings (B, 256)."""

    name = "faceres"

    def __init__(self, model: Path) -> None:
        """Read `faceres.json` and the `faceres.bin` beside it; InvalidOption where they are not the known ones."""
        for name, wanted in _SHA256.items():
            _check(model.parent / name, wanted)
        weights = _read(model)
        self._stem = _convolution(weights, "conv1/convolution/merged_input", "conv1_bn/batchnorm_1/sub")
        self._blocks = [
            (
                _depthwise(weights, i),
                _convolution(weights, f"conv_pw_{i}/convolution/merged_input", f"conv_pw_{i}_bn/batchnorm_1/sub"),
            )
            for i in range(1, 14)
        ]
        self._kernel, self._bias = (torch.from_numpy(weights[f"feats/{k}"]) for k in ("kernel", "bias"))

    @torch.no_grad()
    def __call__(self, crops: Tensor) -> Tensor:
        left, top, side = (round(v * crops.shape[-1] / 256) for v in _WINDOW)
        x = crops[..., top : top + side, left : left + side]
        x = functional.interpolate(x, size=(224, 224), mode="bicubic", antialias=True).clamp(-1, 1)
        mean = torch.tensor([123.68, 116.779, 103.939]).view(1, 3, 1, 1)
        x = ((x + 1) * 127.5 - mean).flip(1)  # BGR, as Caffe's VGG had it
        x = _same(x, *self._stem, stride=2)
        for number, (depthwise, pointwise) in enumerate(self._blocks, start=1):
            x = _same(x, *depthwise, stride=2 if number in _STRIDED else 1, groups=x.shape[1])
            x = _same(x, *pointwise, stride=1)
        features = torch.relu(x.mean((2, 3)) @ self._kernel + self._bias)
        return functional.normalize(features, dim=-1)


def _check(file: Path, wanted: str) -> None:
    if not file.is_file():
        raise InvalidOption(f"got no judge: {file} is missing; `make judge` fetches it")
    if (got := hashlib.sha256(file.read_bytes()).hexdigest()) != wanted:
        raise InvalidOption(f"got {file} of SHA-256 {got[:12]}, wanted {wanted[:12]}; `make judge` fetches it anew")


def _read(model: Path) -> dict[str, np.ndarray]:
    """Return the weights of a TensorFlow.js graph model by name, in fp32."""
    manifest = json.loads(model.read_text())["weightsManifest"]
    weights: dict[str, np.ndarray] = {}
    for group in manifest:
        data = b"".join((model.parent / path).read_bytes() for path in group["paths"])
        offset = 0
        for entry in group["weights"]:
            stored = _ITEM[entry.get("quantization", {}).get("dtype", entry["dtype"])]
            count = int(np.prod(entry["shape"], dtype=np.int64))
            value = np.frombuffer(data, stored, count, offset).reshape(entry["shape"])
            offset += value.nbytes
            weights[entry["name"]] = value.astype(np.float32)
    return weights


def _convolution(weights: dict[str, np.ndarray], kernel: str, bias: str) -> tuple[Tensor, Tensor]:
    """Return an ordinary kernel, (height, width, in, out) -> (out, in, height, width), and its bias."""
    return torch.from_numpy(weights[kernel]).permute(3, 2, 0, 1).contiguous(), torch.from_numpy(weights[bias])


def _depthwise(weights: dict[str, np.ndarray], number: int) -> tuple[Tensor, Tensor]:
    """Return a depthwise kernel, (height, width, in, 1) -> (in, 1, height, width), with its batch norm folded in."""
    kernel = torch.from_numpy(weights[f"conv_dw_{number}/depthwise_kernel"]).permute(2, 3, 0, 1)
    scale = torch.from_numpy(weights[f"conv_dw_{number}_bn/batchnorm_1/mul"]).reshape(-1, 1, 1, 1)
    return (kernel * scale).contiguous(), torch.from_numpy(weights[f"conv_dw_{number}_bn/batchnorm_1/sub"]).reshape(-1)


def _same(x: Tensor, kernel: Tensor, bias: Tensor, *, stride: int, groups: int = 1) -> Tensor:
    """Convolve with TensorFlow's padding (a stride of two pads below and right only), then ReLU6."""
    if kernel.shape[-1] == 3:
        x = functional.pad(x, (1, 1, 1, 1) if stride == 1 else (0, 1, 0, 1))
    return functional.relu6(functional.conv2d(x, kernel, bias.reshape(-1), stride=stride, groups=groups))
