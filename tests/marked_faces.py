"""A detector for tests that finds the faces it is shown: a green mark is a face, of a size that is always the same.

A real SCRFD-style .onnx, so that insightface and everything behind it run as they do with a trained one.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

_STRIDE = 32  # px at the detector's largest size, 640: the only one at which marks are seen
_REACH = 3.0  # strides from the mark to each side of the box
# The five landmarks, in strides from the mark: FFHQ's template about its middle.
_LANDMARKS = (-1.18, -0.3, 1.18, -0.3, 0.0, 1.0, -1.03, 2.1, 1.07, 2.1)
_VALUES = {"score": (1, (0.0,)), "box": (4, (_REACH,) * 4), "landmarks": (10, _LANDMARKS)}
MARK_SIDE = 64  # px at 640: one place of the detector lies wholly inside


def marked(pixels: np.ndarray, x: int, y: int) -> np.ndarray:
    """Return a photo (H, W, 3) with a face marked at (x, y)."""
    half = round(MARK_SIDE / 2 * max(pixels.shape[:2]) / 640)
    pixels = pixels.copy()
    pixels[y - half : y + half, x - half : x + half] = (0, 255, 0)
    return pixels


def write_detector(path: Path) -> None:
    """Write the detector's .onnx file."""
    nodes, weights, outputs = [], [], []

    def stored(name: str, value: np.ndarray) -> str:
        weights.append(numpy_helper.from_array(value, name))
        return name

    # Green alone makes the score: (red, green, blue) / 128 about zero.
    colours = stored("colours", np.array([-8.0, 8.0, -8.0], np.float32).reshape(1, 3, 1, 1))
    bias = stored("bias", np.array([-20.0], np.float32))
    full_height = stored("full_height", np.array([640], np.int64))
    nodes.append(helper.make_node("Shape", ["input"], ["height"], start=2, end=3))
    nodes.append(helper.make_node("Equal", ["height", full_height], ["is_full"]))
    nodes.append(helper.make_node("Cast", ["is_full"], ["full"], to=onnx.TensorProto.FLOAT))
    for kind, (count, values) in _VALUES.items():
        for stride in (8, 16, 32):
            pooled, name = f"{kind}_pool_{stride}", f"{kind}_{stride}"
            nodes.append(
                helper.make_node("AveragePool", ["input"], [pooled], kernel_shape=[stride] * 2, strides=[stride] * 2)
            )
            nodes.append(helper.make_node("Conv", [pooled, colours, bias], [f"{name}_green"]))
            both = stored(f"{name}_shape", np.array([-1, 1], np.int64))
            nodes.append(helper.make_node("Reshape", [f"{name}_green", both], [f"{name}_one"]))
            nodes.append(helper.make_node("Concat", [f"{name}_one"] * 2, [f"{name}_two"], axis=1))  # two anchors
            nodes.append(helper.make_node("Reshape", [f"{name}_two", both], [f"{name}_rows"]))
            if kind == "score":
                nodes.append(helper.make_node("Sigmoid", [f"{name}_rows"], [f"{name}_p"]))
                last = f"{name}_p"
                if stride == _STRIDE:
                    nodes.append(helper.make_node("Mul", [last, "full"], [name]))
                else:
                    zero = stored(f"{name}_zero", np.array([0.0], np.float32))
                    nodes.append(helper.make_node("Mul", [last, zero], [name]))
            else:
                row = stored(f"{name}_values", np.array([values], np.float32))
                nothing = stored(f"{name}_nothing", np.array([0.0], np.float32))
                nodes.append(helper.make_node("Mul", [f"{name}_rows", nothing], [f"{name}_nil"]))
                nodes.append(helper.make_node("Add", [f"{name}_nil", row], [name]))
            outputs.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [f"N{stride}", count]))
    inputs = [helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, [1, 3, "H", "W"])]
    graph = helper.make_graph(nodes, "marks", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))
