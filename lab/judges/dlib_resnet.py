"""dlib's public-domain recognizer: the teacher of mini's guidance recognizer, so never the judge of its pictures.

Needs the `lab` extra (`dlib-bin`, `face_recognition_models`).
"""

import importlib.util
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

# dlib's 150 px chip within ArcFace's 112 px frame: measured as the window with the best verification on tuning people.
_LEFT, _TOP, _SIDE = 12.0, 24.0, 88.0


class DlibResnet:
    """ArcFace-frame crops (B, 3, 112, 112) in [-1, 1] -> embeddings (B, 128) of about length 1.43, not centred."""

    name = "dlib"

    def __init__(self) -> None:
        import dlib  # the lab extra only

        # The package's own __init__ imports pkg_resources, which newer setuptools lack: its data is taken by path.
        package = importlib.util.find_spec("face_recognition_models")
        if package is None or package.origin is None:
            raise FileNotFoundError("face_recognition_models is not installed: pip install '.[lab]'")
        weights = Path(package.origin).parent / "models" / "dlib_face_recognition_resnet_model_v1.dat"
        self._network = dlib.face_recognition_model_v1(str(weights))

    def __call__(self, crops: Tensor) -> Tensor:
        axis = (torch.arange(150) + 0.5) / 150 * _SIDE
        x, y = ((axis + start) / 112 * 2 - 1 for start in (_LEFT, _TOP))
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).expand(len(crops), -1, -1, -1)
        chips = functional.grid_sample(crops, grid, mode="bicubic", padding_mode="border", align_corners=False)
        pixels = ((chips + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()
        return torch.from_numpy(np.array(self._network.compute_face_descriptor(list(pixels)), np.float32))
