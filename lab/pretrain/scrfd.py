"""An SCRFD-style face detector of half a million parameters: network, targets of its anchors, and its .onnx file.

Three maps of strides 8, 16 and 32, two anchors a place; an anchor's place is (column, row) * stride. The outputs are
those that insightface reads: scores, then box distances, then landmark offsets, both in strides.
"""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper
from torch import Tensor, nn
from torch.nn import functional

from lab.pretrain.onnx_graph import GraphWriter, Residual, conv_norm

STRIDES = (8, 16, 32)
ANCHORS = 2
# Face sizes (square root of the box's area, px) that each anchor of each stride is for; they overlap a little.
SIZES = (((0.0, 17.0), (15.0, 34.0)), ((30.0, 60.0), (54.0, 104.0)), ((92.0, 176.0), (160.0, 1e9)))
_VALUES = (1, 4, 10)  # score, box, landmarks


class Scrfd(nn.Module):
    """x (B, 3, H, W), (RGB - 127.5) / 128, H and W multiples of 32 -> one (B, 30, H/s, W/s) map for each stride s."""

    def __init__(self, widths: tuple[int, ...] = (16, 32, 56, 88, 96), neck: int = 48) -> None:
        super().__init__()
        stem, *stages = (
            nn.Sequential(conv_norm(3, widths[0], 2), conv_norm(widths[0], widths[1], 2)),
            *(nn.Sequential(conv_norm(a, b, 2), Residual(b)) for a, b in zip(widths[1:-1], widths[2:], strict=True)),
        )
        self.stem = stem
        self.stages = nn.ModuleList(stages)
        self.laterals = nn.ModuleList(nn.Conv2d(width, neck, 1) for width in widths[2:])
        self.heads = nn.ModuleList(conv_norm(neck, neck) for _ in STRIDES)
        outputs = [nn.Conv2d(neck, ANCHORS * sum(_VALUES), 1) for _ in STRIDES]
        for output in outputs:
            bias = torch.zeros(output.out_channels)
            bias[:ANCHORS] = -4.6  # a face is rare: 1 in 100 at first
            nn.init.normal_(output.weight, std=0.01)
            output.bias = nn.Parameter(bias)
        self.outputs = nn.ModuleList(outputs)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        maps = []
        for stage, lateral in zip(self.stages, self.laterals, strict=True):
            x = stage(x)
            maps.append(lateral(x))
        maps[1] = maps[1] + functional.interpolate(maps[2], scale_factor=2.0, mode="nearest")
        maps[0] = maps[0] + functional.interpolate(maps[1], scale_factor=2.0, mode="nearest")
        return [output(head(m)) for m, head, output in zip(maps, self.heads, self.outputs, strict=True)]


def anchor_values(maps: list[Tensor]) -> Tensor:
    """Flatten the maps (B, 30, h, w) into (B, N, 15): score logit, box distances, landmark offsets of every anchor."""
    rows = []
    for m in maps:
        parts = m.split([ANCHORS * n for n in _VALUES], dim=1)
        flat = [part.permute(0, 2, 3, 1).reshape(len(m), -1, n) for part, n in zip(parts, _VALUES, strict=True)]
        rows.append(torch.cat(flat, -1))
    return torch.cat(rows, 1)


def anchor_places(height: int, width: int) -> Tensor:
    """Return (N, 5) in the order of `anchor_values`: x, y, stride, and the smallest and largest face of each anchor."""
    rows = []
    for stride, sizes in zip(STRIDES, SIZES, strict=True):
        y, x = torch.meshgrid(torch.arange(height // stride), torch.arange(width // stride), indexing="ij")
        place = torch.stack([x, y], -1).reshape(-1, 1, 2).float() * stride
        place = place.expand(-1, ANCHORS, -1)
        rest = torch.tensor([[stride, *size] for size in sizes]).expand(len(place), -1, -1)
        rows.append(torch.cat([place, rest], -1).reshape(-1, 5))
    return torch.cat(rows)


def assign(places: Tensor, boxes: Tensor, radius: float = 1.1) -> Tensor:
    """Return for every anchor the index of its face in boxes (n, 4), or -1: the nearest one of its size.

    A face takes the anchors within `radius` strides of its centre, on each axis.
    """
    if len(boxes) == 0:
        return torch.full((len(places),), -1, dtype=torch.long)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    size = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sqrt()
    away = ((places[:, None, :2] - centres) / places[:, None, 2:3]).abs().amax(-1)  # (N, n), in strides
    fits = (away <= radius) & (size >= places[:, 3:4]) & (size <= places[:, 4:5])
    away = torch.where(fits, away, torch.inf)
    nearest, index = away.min(1)
    return torch.where(torch.isfinite(nearest), index, -1)


def detection_loss(
    values: Tensor, places: Tensor, faces: list[tuple[Tensor, Tensor]]
) -> tuple[Tensor, dict[str, float]]:
    """Return focal loss of the scores + GIoU of the boxes + L1 of the landmarks in face sizes.

    values (B, N, 15); faces: boxes (n, 4) and landmarks (n, 5, 2) of each picture, in px.
    """
    chosen = [assign(places, boxes) for boxes, _ in faces]
    wanted = torch.stack(chosen) >= 0
    count = wanted.sum().clamp_min(1)
    scores = values[..., 0]
    p = torch.sigmoid(scores)
    right = torch.where(wanted, p, 1 - p)
    weight = torch.where(wanted, 0.5, 0.5) * (1 - right) ** 2
    score_loss = (
        weight * functional.binary_cross_entropy_with_logits(scores, wanted.float(), reduction="none")
    ).sum() / count
    if not wanted.any():
        return score_loss, {"score": score_loss.item()}
    boxes = torch.cat([b[c[c >= 0]] for (b, _), c in zip(faces, chosen, strict=True)])
    landmarks = torch.cat([points[c[c >= 0]] for (_, points), c in zip(faces, chosen, strict=True)])
    at = places.expand(len(values), -1, -1)[wanted]
    got_boxes, got_points = decoded(values[wanted], at)
    box_loss = (1 - _giou(got_boxes, boxes)).mean()
    size = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sqrt()
    point_loss = ((got_points - landmarks).abs().mean((1, 2)) / size).mean()
    parts = {"score": score_loss.item(), "box": box_loss.item(), "landmarks": point_loss.item()}
    return score_loss + box_loss + 10.0 * point_loss, parts


def decoded(values: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Turn anchors' values (n, 15) at places (n, 5) into boxes (n, 4) and landmarks (n, 5, 2) in px."""
    centre, stride = places[:, :2], places[:, 2:3]
    distances = values[:, 1:5] * stride
    boxes = torch.cat([centre - distances[:, :2], centre + distances[:, 2:]], -1)
    offsets = (values[:, 5:] * stride).reshape(-1, 5, 2)
    return boxes, centre[:, None] + offsets


def _giou(a: Tensor, b: Tensor) -> Tensor:
    """Return generalized intersection over union of boxes (n, 4), pair by pair."""
    shared = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp_min(0).prod(-1)
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).clamp_min(1e-6).prod(-1)
    area_a, area_b = ((box[:, 2:] - box[:, :2]).clamp_min(0).prod(-1) for box in (a, b))
    union = (area_a + area_b - shared).clamp_min(1e-6)
    return shared / union - (hull - union) / hull


def export_scrfd(network: Scrfd, path: Path) -> None:
    """Write the .onnx file that insightface routes to SCRFD: 9 outputs, for any input whose sides 32 divides."""
    writer = GraphWriter()
    x = writer.stage("input", network.stem)
    maps = []
    for stage, lateral in zip(network.stages, network.laterals, strict=True):
        x = writer.stage(x, stage)
        maps.append(writer.conv(x, lateral, None))
    maps[1] = writer.add("Add", [maps[1], writer.doubled(maps[2])])
    maps[0] = writer.add("Add", [maps[0], writer.doubled(maps[1])])
    names: dict[tuple[int, int], str] = {}
    for stride, m, head, output in zip(STRIDES, maps, network.heads, network.outputs, strict=True):
        m = writer.conv(writer.stage(m, head), output, None)
        splits = writer.store(np.array([ANCHORS * n for n in _VALUES], np.int64))
        parts = [f"part_{stride}_{n}" for n in _VALUES]
        writer.nodes.append(helper.make_node("Split", [m, splits], parts, axis=1))
        for part, n in zip(parts, _VALUES, strict=True):
            names[n, stride] = writer.rows(part, n, f"{('score', 'box', 'landmarks')[_VALUES.index(n)]}_{stride}")
    outputs = [
        helper.make_tensor_value_info(names[n, stride], onnx.TensorProto.FLOAT, [f"N{stride}", n])
        for n in _VALUES
        for stride in STRIDES
    ]
    inputs = [helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, [1, 3, "H", "W"])]
    graph = helper.make_graph(writer.nodes, "scrfd", inputs, outputs, writer.weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
