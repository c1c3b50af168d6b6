"""The face recognizer f_face: ArcFace's IResNet in torch, differentiable, with weights out of an .onnx file.

One door for every recognizer: crops (B, 3, 112, 112) in [-1, 1], RGB, in ArcFace's frame -> unit embeddings (B, D).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from core.errors import UnknownGraph

SIDE = 112
# The FFHQ frame of 256 px -> ArcFace's of 112 px, least squares over the five points.
_SCALE, _LEFT, _TOP = 0.585, -19.1, -18.0


def to_arcface_frame(crops: Tensor) -> Tensor:
    """Take FFHQ-frame crops (B, 3, S, S) to ArcFace's frame (B, 3, 112, 112): one constant affine, anti-aliased."""
    side = crops.shape[-1]
    shrink = _SCALE * 256 / side  # ArcFace pixels for one crop pixel
    if shrink < 1:  # an area average first: grid_sample alone would skip pixels
        smaller = max(SIDE, round(side * shrink))
        crops = functional.interpolate(crops, size=(smaller, smaller), mode="bilinear", antialias=True)
    axis = torch.arange(SIDE, device=crops.device, dtype=crops.dtype) + 0.5
    x, y = ((axis - offset) / (_SCALE * 256) * 2 - 1 for offset in (_LEFT, _TOP))
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).expand(len(crops), -1, -1, -1)
    return functional.grid_sample(crops, grid, mode="bilinear", padding_mode="border", align_corners=False)


class FrozenPReLU(nn.PReLU):
    """PReLU; once its slopes are frozen by two ReLUs, since torch's own works out their gradient all the same."""

    def forward(self, x: Tensor) -> Tensor:
        if self.weight.requires_grad:
            return super().forward(x)
        return functional.relu(x) - self.weight[:, None, None] * functional.relu(-x)


class Block(nn.Module):
    """BN, conv, BN, PReLU, conv (stride), BN, plus a shortcut. `folded`: the inner norms are in the convolutions."""

    def __init__(self, inside: int, outside: int, stride: int, folded: bool) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inside)
        self.conv1 = nn.Conv2d(inside, outside, 3, 1, 1, bias=folded)
        self.bn2 = _norm(outside, folded)
        self.prelu = FrozenPReLU(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, stride, 1, bias=folded)
        self.bn3 = _norm(outside, folded)
        self.downsample = None
        if stride != 1 or inside != outside:
            shortcut = nn.Conv2d(inside, outside, 1, stride, bias=folded)
            self.downsample = nn.Sequential(shortcut, _norm(outside, folded))

    def forward(self, x: Tensor) -> Tensor:
        y = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        y = self.bn3(self.conv2(y))
        shortcut: Tensor = x if self.downsample is None else self.downsample(x)
        return y + shortcut


class IResNet(nn.Module):
    """ArcFace's IResNet, of any width and depth."""

    def __init__(
        self,
        layers: Sequence[int] = (2, 2, 2, 2),  # blocks of each stage; every stage halves the side
        widths: Sequence[int] = (64, 128, 256, 512),  # channels of each stage
        embedding_size: int = 512,
        folded: bool = False,
        mean: float = 127.5,  # of the input that the weights expect, in 0-255 levels
        scale: float = 1 / 127.5,
    ) -> None:
        super().__init__()
        self.folded, self.mean, self.scale = folded, mean, scale
        self.conv1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=folded)
        self.bn1 = _norm(widths[0], folded)
        self.prelu = FrozenPReLU(widths[0])
        inside = widths[0]
        for number, (count, width) in enumerate(zip(layers, widths, strict=True), start=1):
            blocks = [Block(inside if i == 0 else width, width, 2 if i == 0 else 1, folded) for i in range(count)]
            setattr(self, f"layer{number}", nn.Sequential(*blocks))
            inside = width
        self.bn2 = nn.BatchNorm2d(inside)
        self.fc = nn.Linear(inside * 7 * 7, embedding_size)
        self.features: nn.Module = nn.Identity() if folded else nn.BatchNorm1d(embedding_size)
        if isinstance(self.features, nn.BatchNorm1d):
            self.features.weight.requires_grad_(False)

    @property
    def embedding_size(self) -> int:
        """Return D, the length of an embedding."""
        return self.fc.out_features

    def blocks(self) -> Iterator[Block]:
        """Return the residual blocks in order."""
        for number in range(1, 5):
            yield from getattr(self, f"layer{number}")

    def forward(self, crops: Tensor) -> Tensor:
        x = ((crops + 1) * 127.5 - self.mean) * self.scale
        x = self.prelu(self.bn1(self.conv1(x)))
        for block in self.blocks():
            x = block(x)
        x = self.features(self.fc(self.bn2(x).flatten(1)))
        return functional.normalize(x.float(), dim=-1)


@torch.no_grad()
def folded(network: IResNet) -> IResNet:
    """Return a frozen network's equal with every norm that follows a convolution put into it: a tenth less to do."""
    if network.folded:
        return network
    equal = IResNet(
        layers=[len(getattr(network, f"layer{number}")) for number in range(1, 5)],
        widths=[getattr(network, f"layer{number}")[0].conv1.out_channels for number in range(1, 5)],
        embedding_size=network.embedding_size,
        folded=True,
        mean=network.mean,
        scale=network.scale,
    )
    equal.load_state_dict(network.state_dict(), strict=False)  # norms that it lacks are folded in below
    pairs: list[tuple[Any, Any, nn.Module]] = [
        (equal.conv1, network.conv1, network.bn1),
        (equal.fc, network.fc, network.features),
    ]
    for to, block in zip(equal.blocks(), network.blocks(), strict=True):
        pairs += [(to.conv1, block.conv1, block.bn2), (to.conv2, block.conv2, block.bn3)]
        if to.downsample is not None and block.downsample is not None:
            pairs.append((to.downsample[0], block.downsample[0], block.downsample[1]))
    for layer, source, norm in pairs:
        gain, shift = _gain_and_shift(norm)
        layer.weight.copy_(source.weight * gain.reshape(-1, *[1] * (source.weight.dim() - 1)))
        layer.bias.copy_(shift if source.bias is None else source.bias * gain + shift)
    return equal.eval()


def _norm(channels: int, folded: bool) -> nn.Module:
    return nn.Identity() if folded else nn.BatchNorm2d(channels)


def load_recognizer(path: Path) -> IResNet:
    """Read an IResNet out of an .onnx file, plain or with its batch norms folded; UnknownGraph for anything else."""
    graph = _Graph(path)
    x = graph.input
    mean, scale = 127.5, 1 / 127.5
    if graph.follows(x, "Sub"):
        subtract = graph.take(x, "Sub")
        multiply = graph.take(subtract.output[0], "Mul")
        mean, scale = (float(graph.weight(node.input[1])) for node in (subtract, multiply))
        x = multiply.output[0]
    stem = graph.take(x, "Conv")
    folded = not graph.follows(stem.output[0], "BatchNormalization")
    stem_norm, x = graph.optional_norm(stem.output[0])
    stem_prelu = graph.take(x, "PRelu")
    found, x = graph.residual_blocks(stem_prelu.output[0])
    last_norm = graph.take(x, "BatchNormalization")
    flatten = graph.take(last_norm.output[0], "Flatten", "Reshape")
    linear = graph.take(flatten.output[0], "Gemm")
    features, _ = graph.optional_norm(linear.output[0])
    starts = [i for i, block in enumerate(found) if graph.stride(block[3]) == 2]
    if len(starts) != 4 or (features is None) != folded:
        raise UnknownGraph(f"{path.name} halves its picture {len(starts)} times; wanted an IResNet of four stages")
    network = IResNet(
        layers=[b - a for a, b in zip(starts, [*starts[1:], len(found)], strict=True)],
        widths=[graph.weight(found[i][1].input[1]).shape[0] for i in starts],
        embedding_size=graph.weight(linear.input[1]).shape[0],
        folded=folded,
        mean=mean,
        scale=scale,
    )
    graph.copy(network.conv1, stem)
    graph.copy(network.bn1, stem_norm)
    graph.copy(network.prelu, stem_prelu)
    for block, nodes in zip(network.blocks(), found, strict=True):
        modules = (block.bn1, block.conv1, block.bn2, block.conv2, block.bn3, block.prelu, *(block.downsample or ()))
        order = (0, 1, 2, 3, 4, 5, 6, 7)
        for module, i in zip(modules, order, strict=False):
            graph.copy(module, nodes[i])
    graph.copy(network.bn2, last_norm)
    graph.copy(network.fc, linear)
    graph.copy(network.features, features)
    return network.eval()


class _Graph:
    """An .onnx graph to be walked from its input on; whatever does not fit raises UnknownGraph."""

    def __init__(self, path: Path) -> None:
        self._name = path.name
        graph = onnx.load(str(path)).graph
        self._weights = {w.name: numpy_helper.to_array(w) for w in graph.initializer}
        self._consumers: dict[str, list[Any]] = {}
        renamed: dict[str, str] = {}
        for node in graph.node:
            inputs = [renamed.get(name, name) for name in node.input]
            if node.op_type in ("Identity", "Dropout"):
                renamed[node.output[0]] = inputs[0]
                continue
            if node.op_type == "Constant":
                self._weights[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
                continue
            del node.input[:]
            node.input.extend(inputs)
            for name in inputs:
                self._consumers.setdefault(name, []).append(node)
        self.input = next(i.name for i in graph.input if i.name not in self._weights)

    def weight(self, name: str) -> np.ndarray:
        """Return a stored tensor by name."""
        if name not in self._weights:
            raise UnknownGraph(f"{self._name} computes {name}; wanted a stored weight there")
        return self._weights[name]

    def follows(self, tensor: str, op: str) -> bool:
        """Say whether an operation of this kind takes the tensor."""
        return any(node.op_type == op for node in self._consumers.get(tensor, []))

    def take(self, tensor: str, *ops: str) -> Any:
        """Return the one operation of these kinds that takes the tensor."""
        found = [node for node in self._consumers.get(tensor, []) if node.op_type in ops]
        if len(found) != 1:
            got = ", ".join(node.op_type for node in self._consumers.get(tensor, [])) or "nothing"
            raise UnknownGraph(f"{self._name} has {got} after {tensor}; wanted {' or '.join(ops)}, as an IResNet has")
        return found[0]

    def optional_norm(self, tensor: str) -> tuple[Any, str]:
        """Return the batch norm that takes the tensor, if one does, and the tensor to go on with."""
        if not self.follows(tensor, "BatchNormalization"):
            return None, tensor
        norm = self.take(tensor, "BatchNormalization")
        return norm, norm.output[0]

    def stride(self, node: Any) -> int:
        """Return a convolution's stride."""
        return next((int(a.ints[0]) for a in node.attribute if a.name == "strides"), 1)

    def residual_blocks(self, x: str) -> tuple[list[tuple[Any, ...]], str]:
        """Walk all residual blocks from x on: (bn1, conv1, bn2, conv2, bn3, prelu, shortcut conv, shortcut bn) each."""
        blocks = []
        while not self.follows(self.take(x, "BatchNormalization").output[0], "Flatten") and not self.follows(
            self.take(x, "BatchNormalization").output[0], "Reshape"
        ):
            bn1 = self.take(x, "BatchNormalization")
            conv1 = self.take(bn1.output[0], "Conv")
            bn2, y = self.optional_norm(conv1.output[0])
            prelu = self.take(y, "PRelu")
            conv2 = self.take(prelu.output[0], "Conv")
            bn3, y = self.optional_norm(conv2.output[0])
            add = self.take(y, "Add")
            shortcut, shortcut_bn = None, None
            if x not in add.input:
                shortcut = self.take(x, "Conv")
                shortcut_bn, z = self.optional_norm(shortcut.output[0])
                if z not in add.input:
                    raise UnknownGraph(f"{self._name}: {add.name} adds neither its block's input nor its shortcut")
            blocks.append((bn1, conv1, bn2, conv2, bn3, prelu, shortcut, shortcut_bn))
            x = add.output[0]
        return blocks, x

    @torch.no_grad()
    def copy(self, module: nn.Module, node: Any) -> None:
        """Copy an operation's stored weights into the module of its kind."""
        if isinstance(module, nn.Identity):
            return
        if node is None:
            raise UnknownGraph(f"{self._name} folds some of its batch norms; wanted all of them or none")
        names = ["weight", "bias", "running_mean", "running_var"]
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            module.bias.zero_()  # a convolution without one in a graph whose norms are folded
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eps = next((float(a.f) for a in node.attribute if a.name == "epsilon"), 1e-5)
        for name, source in zip(names, node.input[1:], strict=False):
            target: Tensor = getattr(module, name)
            value = torch.from_numpy(self.weight(source).copy())
            if target.numel() != value.numel():
                raise UnknownGraph(
                    f"{self._name}: {source} has shape {tuple(value.shape)}, wanted {tuple(target.shape)}"
                )
            target.copy_(value.reshape(target.shape))


def export_onnx(network: IResNet, path: Path, folded: bool = False) -> None:
    """Write an .onnx file that insightface loads; `folded` puts every norm that follows a convolution into it.

    Its input is (N, 3, 112, 112) of (RGB - 127.5) / 127.5, which insightface guesses where no Sub or Mul comes first.
    """
    writer = _Writer(folded)
    x = writer.conv("input", network.conv1, network.bn1)
    x = writer.prelu(x, network.prelu)
    for block in network.blocks():
        y = writer.conv(writer.norm(x, block.bn1), block.conv1, block.bn2)
        y = writer.conv(writer.prelu(y, block.prelu), block.conv2, block.bn3)
        shortcut = x if block.downsample is None else writer.conv(x, block.downsample[0], block.downsample[1])
        x = writer.add("Add", [y, shortcut])
    x = writer.add("Flatten", [writer.norm(x, network.bn2)], axis=1)
    writer.linear(x, network.fc, network.features)
    graph = helper.make_graph(
        writer.nodes,
        "iresnet",
        [helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, ["N", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("embedding", onnx.TensorProto.FLOAT, ["N", network.embedding_size])],
        writer.weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


class _Writer:
    """Collects the nodes and weights of an .onnx graph."""

    def __init__(self, folded: bool) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self._folded = folded

    def add(self, op: str, inputs: list[str], output: str | None = None, **attributes: Any) -> str:
        """Add one operation and return the name of what it puts out."""
        output = output or f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def store(self, value: Tensor) -> str:
        """Store a weight and return its name."""
        name = f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(value.detach().float().cpu().numpy(), name))
        return name

    def norm(self, x: str, module: nn.Module) -> str:
        """Add a batch norm."""
        assert isinstance(module, nn.modules.batchnorm._BatchNorm)
        assert module.running_mean is not None
        assert module.running_var is not None
        values = (module.weight, module.bias, module.running_mean, module.running_var)
        return self.add("BatchNormalization", [x, *map(self.store, values)], epsilon=module.eps)

    def conv(self, x: str, module: nn.Module, norm: nn.Module) -> str:
        """Add a convolution and the norm after it, as one or as two."""
        assert isinstance(module, nn.Conv2d)
        weight, bias = module.weight, module.bias
        if self._folded and isinstance(norm, nn.BatchNorm2d):
            gain, shift = _gain_and_shift(norm)
            weight, bias = weight * gain[:, None, None, None], nn.Parameter(shift)
        stored = [self.store(weight), *([] if bias is None else [self.store(bias)])]
        pads = list(module.padding) * 2
        x = self.add(
            "Conv", [x, *stored], kernel_shape=list(module.kernel_size), strides=list(module.stride), pads=pads
        )
        return x if self._folded or isinstance(norm, nn.Identity) else self.norm(x, norm)

    def prelu(self, x: str, module: nn.PReLU) -> str:
        """Add a PReLU."""
        return self.add("PRelu", [x, self.store(module.weight[:, None, None])])

    def linear(self, x: str, module: nn.Linear, norm: nn.Module) -> None:
        """Add the last layer and its norm; the output is named `embedding`."""
        weight, bias = module.weight, module.bias
        plain = not self._folded and isinstance(norm, nn.BatchNorm1d)
        if self._folded and isinstance(norm, nn.BatchNorm1d):
            gain, shift = _gain_and_shift(norm)
            weight, bias = nn.Parameter(weight * gain[:, None]), nn.Parameter(bias * gain + shift)
        output = None if plain else "embedding"
        x = self.add("Gemm", [x, self.store(weight), self.store(bias)], output, transB=1)
        if plain:
            self.norm(x, norm)
            self.nodes[-1].output[0] = "embedding"


def _gain_and_shift(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Return a batch norm in eval mode as gain and shift."""
    assert isinstance(norm, nn.modules.batchnorm._BatchNorm)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gain = norm.weight / (norm.running_var + norm.eps).sqrt()
    return gain, norm.bias - norm.running_mean * gain
