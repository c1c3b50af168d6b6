"""A pulled bundle's last steps: do its parts fit each other, the cached prompt y*, the manifest."""

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, ControlNetModel, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from core.errors import DamagedBundle


def check_parts(folder: Path) -> None:
    """DamagedBundle where the networks' configs do not fit each other: a ControlNet of another base, for one."""
    unet = _config(UNet2DConditionModel, folder / "unet")
    controlnet = _config(ControlNetModel, folder / "controlnet")
    vae = _config(AutoencoderKL, folder / "vae")
    preview = _config(AutoencoderTiny, folder / "preview_decoder")
    wanted = {
        "the ControlNet's cross_attention_dim": (controlnet["cross_attention_dim"], unet["cross_attention_dim"]),
        "the ControlNet's block_out_channels": (controlnet["block_out_channels"], unet["block_out_channels"]),
        "the VAE's latent_channels": (vae["latent_channels"], unet["in_channels"]),
        "the preview decoder's latent_channels": (preview["latent_channels"], unet["in_channels"]),
    }
    for what, (got, fitting) in wanted.items():
        if got != fitting:
            raise DamagedBundle(f"{what} is {got}, wanted the UNet's {fitting}; the parts do not belong together")


class Encoders:
    """The bundle's text encoders and tokenizers, in full precision."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer: Any = CLIPTokenizer.from_pretrained(folder / "tokenizer")
        self.tokenizer_2: Any = CLIPTokenizer.from_pretrained(folder / "tokenizer_2")
        self.text_encoder: Any = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
        self.text_encoder_2: Any = CLIPTextModelWithProjection.from_pretrained(
            folder / "text_encoder_2", dtype=torch.float32
        )


def _config(kind: Any, folder: Path) -> dict[str, Any]:
    """Return a network's full config, defaults included; built without weights."""
    with torch.device("meta"):
        return dict(kind.from_config(kind.load_config(folder)).config)
