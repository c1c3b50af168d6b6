"""SDXL's repositories with their real file names and configs, every width shrunk until the whole takes a few MB."""

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, ControlNetModel, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from lab.pretrain.networks import new_tokenizer
from tests.lab.fake_hub import FakeHub

SHAPES = Path("bundles/sdxl-shape")
# The file of SDXL base 1.0: written for another scheduler, whose schedule ours shares.
SCHEDULER = {
    "_class_name": "EulerDiscreteScheduler", "_diffusers_version": "0.19.0.dev0", "beta_end": 0.012,
    "beta_schedule": "scaled_linear", "beta_start": 0.00085, "clip_sample": False, "interpolation_type": "linear",
    "num_train_timesteps": 1000, "prediction_type": "epsilon", "sample_max_value": 1.0, "set_alpha_to_one": False,
    "skip_prk_steps": True, "steps_offset": 1, "timestep_spacing": "leading", "trained_betas": None,
    "use_karras_sigmas": False,
}  # fmt: skip
_FIRST, _SECOND = 16, 32  # of the text encoders
_UNET = {
    "block_out_channels": [8, 16, 16], "norm_num_groups": 4, "attention_head_dim": [1, 2, 2],
    "transformer_layers_per_block": [1, 1, 2], "cross_attention_dim": _FIRST + _SECOND, "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": _SECOND + 6 * 8,
}  # fmt: skip
_CLIP = {"num_hidden_layers": 2, "num_attention_heads": 2}
# What is narrower than in SDXL's own configs, by part.
_NARROW: dict[str, dict[str, Any]] = {
    "unet": _UNET,
    "controlnet": {**_UNET, "conditioning_embedding_out_channels": [8, 8, 8, 8]},
    "vae": {"block_out_channels": [8, 8, 8, 8], "norm_num_groups": 4},
    "preview_decoder": {"encoder_block_out_channels": [8] * 4, "decoder_block_out_channels": [8] * 4},
    "text_encoder": {**_CLIP, "hidden_size": _FIRST, "intermediate_size": 2 * _FIRST, "projection_dim": _FIRST},
    "text_encoder_2": {**_CLIP, "hidden_size": _SECOND, "intermediate_size": 2 * _SECOND, "projection_dim": _SECOND},
}


def narrow_shapes(folder: Path) -> Path:
    """Write SDXL's configurations, narrow, as a bundle without weights."""
    for part in _NARROW:
        _write(folder / part / "config.json", _config(part))
    _write(folder / "bundle.json", {"name": "narrow", "weights": False, "resolution": 512, "files": {}})
    return folder


def small_hub(folder: Path) -> FakeHub:
    """Return a hub that has the four repositories of the recipe."""
    torch.manual_seed(0)
    base, vae, preview, tile = (folder / name for name in ("base", "vae", "preview", "tile"))
    unet = UNet2DConditionModel.from_config(_config("unet")).half()
    unet.save_pretrained(base / "unet", variant="fp16")
    _text(base)
    _write(base / "scheduler" / "scheduler_config.json", SCHEDULER)
    # The original VAE's safetensors lie there too, and are not what is wanted.
    _write(base / "vae" / "config.json", {})
    AutoencoderKL.from_config(_config("vae")).save_pretrained(vae)
    AutoencoderTiny.from_config(_config("preview_decoder")).half().save_pretrained(preview)
    ControlNetModel.from_config(_config("controlnet")).half().save_pretrained(tile)
    hub = FakeHub()
    hub.put("stabilityai/stable-diffusion-xl-base-1.0", base, "openrail++")
    hub.put("madebyollin/sdxl-vae-fp16-fix", vae, "mit")
    hub.put("madebyollin/taesdxl", preview, "mit")
    hub.put("xinsir/controlnet-tile-sdxl-1.0", tile, "apache-2.0")
    return hub


def _config(part: str) -> dict[str, Any]:
    """Return SDXL's own config of a part, narrow."""
    return {**json.loads((SHAPES / part / "config.json").read_text()), **_NARROW[part]}


def _text(base: Path) -> None:
    """Write both text encoders, and the tokenizers as the four files that SDXL's repository has."""
    tokenizer = new_tokenizer()
    vocabulary = {"!" if token == "<|pad|>" else token: i for token, i in tokenizer.get_vocab().items()}
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    for kind, part in ((CLIPTextModel, "text_encoder"), (CLIPTextModelWithProjection, "text_encoder_2")):
        ids = {"vocab_size": len(vocabulary), "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
        kind(CLIPTextConfig(**{**_config(part), **ids})).half().save_pretrained(base / part, variant="fp16")
        folder = base / part.replace("text_encoder", "tokenizer")
        _write(folder / "vocab.json", vocabulary)
        lines = [" ".join(pair) if isinstance(pair, list) else pair for pair in merges]
        (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(lines) + "\n")
        special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
        pad = {"pad_token": "<|endoftext|>" if part == "text_encoder" else "!"}
        _write(folder / "special_tokens_map.json", {**special, **pad})
        config = {
            "model_max_length": 77,
            "do_lower_case": True,
            "errors": "replace",
            "tokenizer_class": "CLIPTokenizer",
        }
        _write(folder / "tokenizer_config.json", {**config, **special, **pad})


def _write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")
