"""Layers -> nodes and weights of an .onnx graph, norms folded into the convolutions before them."""

from typing import Any

import numpy as np
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn


def conv_norm(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    """Return a 3x3 convolution, batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)
    )


class Residual(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = conv_norm(width, width)
        self.second = conv_norm(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x))


class GraphWriter:
    """Collects the nodes and weights of an .onnx graph."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def add(self, op: str, inputs: list[str], output: str | None = None, **attributes: Any) -> str:
        """Add one operation and return the name of what it puts out."""
        output = output or f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def store(self, value: np.ndarray) -> str:
        """Store a constant and return its name."""
        name = f"constant_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def conv(self, x: str, module: Any, norm: Any) -> str:
        """Add a convolution, with the norm after it folded in."""
        weight = module.weight.detach().float()
        bias = torch.zeros(len(weight)) if module.bias is None else module.bias.detach().float()
        if norm is not None:
            gain = norm.weight.detach() / (norm.running_var + norm.eps).sqrt()
            weight, bias = weight * gain[:, None, None, None], (bias - norm.running_mean) * gain + norm.bias.detach()
        stored = [self.store(weight.numpy()), self.store(bias.numpy())]
        pads = [module.padding[0]] * 4
        return self.add(
            "Conv", [x, *stored], kernel_shape=list(module.kernel_size), strides=list(module.stride), pads=pads
        )

    def linear(self, x: str, module: nn.Linear, output: str | None = None) -> str:
        """Add a linear layer."""
        stored = [self.store(part.detach().float().numpy()) for part in (module.weight, module.bias)]
        return self.add("Gemm", [x, *stored], output, transB=1)

    def stage(self, x: str, module: Any) -> str:
        """Add a stack of convolutions and residual blocks."""
        if isinstance(module, Residual):
            return self.add("Add", [x, self.stage(self.stage(x, module.first), module.second)])
        if isinstance(module[0], nn.Conv2d):
            return self.add("Relu", [self.conv(x, module[0], module[1])])
        for part in module:
            x = self.stage(x, part)
        return x

    def doubled(self, x: str) -> str:
        """Double a map's sides, nearest neighbour."""
        scales = self.store(np.array([1, 1, 2, 2], np.float32))
        return self.add(
            "Resize", [x, "", scales], mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
        )

    def rows(self, x: str, values: int, output: str) -> str:
        """Turn a map (1, 2n, h, w) into rows (h*w*2, n): the reshape's only fixed number is n."""
        x = self.add("Transpose", [x], perm=[0, 2, 3, 1])
        shape = self.store(np.array([-1, values], np.int64))
        if values > 1:
            return self.add("Reshape", [x, shape], output)
        return self.add("Sigmoid", [self.add("Reshape", [x, shape])], output)
