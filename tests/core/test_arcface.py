"""Tests of the recognizer: agreement with onnxruntime, what is refused, its frame, its gradient."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from insightface.model_zoo import get_model
from onnx import helper, numpy_helper
from torch import Tensor, nn

from core.alignment import ffhq_template
from core.arcface import SIDE, FrozenPReLU, IResNet, export_onnx, folded, load_recognizer, to_arcface_frame
from core.errors import UnknownGraph

# insightface's template for 112 px.
ARCFACE_TEMPLATE = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]
)


@pytest.fixture(scope="module")
def recognizer() -> IResNet:
    """A small recognizer whose every weight and statistic matters."""
    torch.manual_seed(0)
    network = IResNet(layers=(1, 2, 1, 1), widths=(8, 12, 16, 16), embedding_size=24).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                for value, low, high in (
                    (module.weight, 0.5, 1.5),
                    (module.bias, -0.3, 0.3),
                    (module.running_mean, -0.3, 0.3),
                    (module.running_var, 0.5, 2.0),
                ):
                    assert value is not None
                    value.uniform_(low, high)
            if isinstance(module, nn.PReLU):
                module.weight.uniform_(0.1, 0.5)
    return network


@pytest.fixture(scope="module")
def crops() -> Tensor:
    """Four crops of nobody in ArcFace's frame."""
    return torch.rand(4, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1)) * 2 - 1


def exported(recognizer: IResNet, folder: Path, folded: bool) -> Path:
    """Write a recognizer's .onnx file."""
    path = folder / "recognition.onnx"
    export_onnx(recognizer, path, folded=folded)
    return path


def run_onnx(path: Path, crops: Tensor) -> Tensor:
    """Return onnxruntime's embeddings, at unit length."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (out,) = session.run(None, {session.get_inputs()[0].name: crops.numpy()})
    return nn.functional.normalize(torch.from_numpy(np.array(out)), dim=-1)


@pytest.mark.parametrize("folded", [False, True])
@torch.no_grad()
def test_agrees_with_onnxruntime(recognizer: IResNet, crops: Tensor, folded: bool, tmp_path: Path) -> None:
    """A plain export and one with its norms folded: torch, read back, gives what onnxruntime gives, to 1e-4."""
    path = exported(recognizer, tmp_path, folded)
    read = load_recognizer(path)
    assert read.folded is folded
    wanted = run_onnx(path, crops)
    assert (read(crops) - wanted).abs().max() < 1e-4
    assert (recognizer(crops) - wanted).abs().max() < 1e-4
    assert (wanted[0] - wanted[1]).abs().max() > 1e-3


@torch.no_grad()
def test_folded(recognizer: IResNet, crops: Tensor) -> None:
    """With its norms folded it gives the same embeddings, and is folded once."""
    equal = folded(recognizer)
    assert equal.folded
    assert folded(equal) is equal
    assert (equal(crops) - recognizer(crops)).abs().max() < 1e-5


def test_frozen_prelu(crops: Tensor) -> None:
    """By two ReLUs it has the bits and the gradient of torch's own."""
    prelu = FrozenPReLU(3)
    x, y = (crops.clone().requires_grad_() for _ in range(2))
    torch.nn.functional.prelu(x, prelu.weight.detach()).square().sum().backward()
    prelu.requires_grad_(False)
    assert torch.equal(prelu(y), torch.nn.functional.prelu(y, prelu.weight))
    prelu(y).square().sum().backward()
    assert torch.equal(x.grad, y.grad)  # type: ignore[arg-type]


@torch.no_grad()
def test_normalisation_in_the_graph(recognizer: IResNet, crops: Tensor, tmp_path: Path) -> None:
    """A graph that begins with Sub and Mul takes 0-255 levels; ours still takes [-1, 1] and agrees."""
    path = exported(recognizer, tmp_path, folded=False)
    model = onnx.load(str(path))
    for name, value in (("mean", 127.5), ("scale", 1 / 128.0)):
        model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
    for node in model.graph.node:
        node.input[:] = ["scaled" if name == "input" else name for name in node.input]
    model.graph.node.insert(0, helper.make_node("Mul", ["centred", "scale"], ["scaled"]))
    model.graph.node.insert(0, helper.make_node("Sub", ["input", "mean"], ["centred"]))
    onnx.save(model, str(path))
    read = load_recognizer(path)
    assert (read(crops) - run_onnx(path, (crops + 1) * 127.5)).abs().max() < 1e-4


@torch.no_grad()
def test_insightface_loads_the_export(recognizer: IResNet, tmp_path: Path) -> None:
    """The library takes the file for an ArcFace model, guesses its normalisation, and embeds alike."""
    model = get_model(str(exported(recognizer, tmp_path, folded=False)), providers=["CPUExecutionProvider"])
    assert (model.input_mean, model.input_std) == (127.5, 127.5)
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    theirs = torch.from_numpy(model.get_feat(pixels[..., ::-1].copy()))
    ours = recognizer(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1)
    assert (ours - nn.functional.normalize(theirs, dim=-1)).abs().max() < 1e-4


def test_embeddings_are_unit_and_differentiable(recognizer: IResNet, crops: Tensor) -> None:
    """Embeddings have unit length, and a cosine has a gradient at every pixel of the crop."""
    x = crops.clone().requires_grad_()
    embeddings = recognizer(x)
    torch.testing.assert_close(embeddings.norm(dim=-1), torch.ones(4))
    (embeddings[0] @ embeddings[1]).backward()
    assert x.grad is not None
    assert (x.grad[:2].abs().sum(1) > 0).float().mean() > 0.99
    assert not x.grad[2:].any()


def changed_graph(path: Path, change: str) -> None:
    """Turn a recognizer's graph into one that is none of ours."""
    model = onnx.load(str(path))
    nodes = list(model.graph.node)
    if change == "relu":
        at = next(node for node in nodes if node.op_type == "PRelu")
        at.op_type = "Relu"
        del at.input[1:]
    elif change == "one_norm_missing":
        norms = [node for node in nodes if node.op_type == "BatchNormalization"]
        gone = next(node for node in norms if "conv" in node.input[0])
        for node in nodes:
            node.input[:] = [gone.input[0] if name == gone.output[0] else name for name in node.input]
        model.graph.node.remove(gone)
    elif change == "three_stages":
        strided = [n for n in nodes if any(a.name == "strides" and list(a.ints) == [2, 2] for a in n.attribute)]
        for attribute in strided[0].attribute:
            if attribute.name == "strides":
                attribute.ints[:] = [1, 1]
    elif change == "short_weight":
        weight = next(w for w in model.graph.initializer if w.name == nodes[0].input[1])
        weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight)[:, :, :1, :1].copy(), weight.name))
    onnx.save(model, str(path))


@torch.no_grad()
def test_folded_without_a_bias(recognizer: IResNet, crops: Tensor, tmp_path: Path) -> None:
    """A convolution that has no bias in a folded graph has none here, instead of whatever torch draws."""
    path = exported(recognizer, tmp_path, folded=True)
    model = onnx.load(str(path))
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    del convolutions[1].input[2:]
    onnx.save(model, str(path))
    assert (load_recognizer(path)(crops) - run_onnx(path, crops)).abs().max() < 1e-4


@pytest.mark.parametrize("change", ["relu", "one_norm_missing", "three_stages", "short_weight"])
def test_unknown_graphs_are_refused(recognizer: IResNet, change: str, tmp_path: Path) -> None:
    """A graph that is no IResNet is refused rather than half read."""
    path = exported(recognizer, tmp_path, folded=False)
    changed_graph(path, change)
    with pytest.raises(UnknownGraph, match="wanted"):
        load_recognizer(path)


def test_another_network_is_refused(tmp_path: Path) -> None:
    """A graph of another family says what was found where."""
    weight = numpy_helper.from_array(np.zeros((4, 3), np.float32), "w")
    node = helper.make_node("MatMul", ["input", "w"], ["out"])
    values = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1, s]) for n, s in (("input", 4), ("out", 3))]
    graph = helper.make_graph([node], "other", values[:1], values[1:], [weight])
    path = tmp_path / "other.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    with pytest.raises(UnknownGraph, match="MatMul"):
        load_recognizer(path)


@pytest.mark.parametrize("side", [64, 128, 256, 512])
def test_frame_is_insightfaces(side: int) -> None:
    """FFHQ's five points land within two pixels of insightface's template, whatever the crop's side."""
    for (x, y), wanted in zip(ffhq_template(side), ARCFACE_TEMPLATE, strict=True):
        v, u = torch.meshgrid(*(torch.arange(side) + 0.5,) * 2, indexing="ij")
        spread = max(2.0, side / 64)
        spot = torch.exp(-((u - x) ** 2 + (v - y) ** 2) / (2 * spread**2))[None, None].expand(1, 3, -1, -1)
        moved = to_arcface_frame(spot.float())[0, 0]
        axis = torch.arange(SIDE) + 0.5
        centre = (moved.sum(0) @ axis / moved.sum(), moved.sum(1) @ axis / moved.sum())
        assert abs(float(centre[0]) - wanted[0]) < 2.2
        assert abs(float(centre[1]) - wanted[1]) < 2.2


def test_frame_is_anti_aliased() -> None:
    """A fine checkerboard of a large crop becomes grey instead of a pattern, and gradients pass."""
    board = (torch.arange(512)[:, None] + torch.arange(512)) % 2 * 2.0 - 1
    x = board.expand(1, 3, -1, -1).clone().requires_grad_()
    moved = to_arcface_frame(x)
    assert moved[..., 8:-8, 8:-8].abs().max() < 0.1
    moved.sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
