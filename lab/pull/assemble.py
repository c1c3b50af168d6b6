"""A pulled bundle's last steps: do its parts fit each other, the cached prompt y*, the manifest."""

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, ControlNetModel, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from core.errors import DamagedBundle
from core.tokens import PromptEmbeds, encode_prompt

CLASS_PROMPT = "class_prompt.safetensors"


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


def write_class_prompt(folder: Path) -> None:
    """Encode y*, "a photo of a face", once, so that serving needs no text encoder."""
    path = folder / CLASS_PROMPT
    if path.exists():
        return
    with torch.no_grad():
        prompt = _class_prompt(folder)
    save_file({"embeds": prompt.embeds.float().contiguous(), "pooled": prompt.pooled.float().contiguous()}, path)


class _Encoders:
    """The bundle's text encoders and tokenizers, in full precision."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer: Any = CLIPTokenizer.from_pretrained(folder / "tokenizer")
        self.tokenizer_2: Any = CLIPTokenizer.from_pretrained(folder / "tokenizer_2")
        self.text_encoder: Any = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
        self.text_encoder_2: Any = CLIPTextModelWithProjection.from_pretrained(
            folder / "text_encoder_2", dtype=torch.float32
        )


def _class_prompt(folder: Path) -> PromptEmbeds:
    return encode_prompt(_Encoders(folder))


def _config(kind: Any, folder: Path) -> dict[str, Any]:
    """Return a network's full config, defaults included; built without weights."""
    with torch.device("meta"):
        return dict(kind.from_config(kind.load_config(folder)).config)
