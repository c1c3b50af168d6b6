"""A bundle on disk -> the frozen networks that restore: UNet, ControlNet, VAE, text encoders, scheduler, faces.

One code path loads every bundle (`mini`, `sdxl`, a tiny random one for tests): sizes come from their configs.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    ControlNetModel,
    DDIMScheduler,
    UNet2DConditionModel,
)
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from core.arcface import IResNet, folded, load_recognizer
from core.attention import attend_on_cpu
from core.errors import DamagedBundle, MissingBundle
from core.faces import FaceDetector
from core.layout import Layout, Turns, compile_blocks, device_memory, fitting_layout, half_dtype, tile_vae
from core.quality import QualityNet, load_quality
from core.tokens import IdentityProjection, PromptEmbeds, encode_prompt

MANIFEST = "bundle.json"
CLASS_PROMPT = "class_prompt.safetensors"  # the cached embeds of y*
_TOKEN_LEARNING_RATE = 5e-4  # where a bundle says nothing
# An adapter fits every bundle that shares these: another ControlNet over the same UNet may be plugged in.
_BASE_PARTS = ("unet/", "text_encoder/", "text_encoder_2/", "tokenizer/", "tokenizer_2/")


@dataclass
class Backbone:
    """The frozen networks of one bundle. Nothing here is ever left changed: many tenants share it."""

    folder: Path
    manifest: dict[str, Any]
    device: torch.device
    dtype: torch.dtype
    unet: UNet2DConditionModel
    controlnet: ControlNetModel
    vae: AutoencoderKL
    preview_decoder: AutoencoderTiny | None
    scheduler: DDIMScheduler
    recognizer: IResNet
    second_recognizer: IResNet | None
    quality: QualityNet | None
    identity_projection: IdentityProjection | None
    turns: Turns | None = None  # of the networks that do not lie on the device all the time
    _prompts: dict[str, PromptEmbeds] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """Return the bundle's name."""
        return str(self.manifest["name"])

    @property
    def resolution(self) -> int:
        """Return the side of a face crop in pixels."""
        return int(self.manifest["resolution"])

    @property
    def digest(self) -> str:
        """Return the SHA-256 over all of the bundle's files."""
        return files_digest(self.manifest["files"])

    @property
    def base_digest(self) -> str:
        """Return the SHA-256 over UNet, text encoders and tokenizers: what an adapter is bound to."""
        return base_digest(self.manifest["files"])

    @property
    def token_learning_rate(self) -> float:
        """Return the rate at which [V] learns well, and the Q_i beside it: a bundle whose [V] is large says so."""
        return float(self.manifest.get("training", {}).get("token_learning_rate", _TOKEN_LEARNING_RATE))

    @cached_property
    def detector(self) -> FaceDetector:
        """Return the bundle's face detector."""
        return FaceDetector(self.folder / "faces")

    @cached_property
    def tokenizer(self) -> Any:
        """Return the first text encoder's tokenizer."""
        return CLIPTokenizer.from_pretrained(self.folder / "tokenizer")

    @cached_property
    def tokenizer_2(self) -> Any:
        """Return the second text encoder's tokenizer."""
        return CLIPTokenizer.from_pretrained(self.folder / "tokenizer_2")

    @cached_property
    def text_encoder(self) -> CLIPTextModel:
        """Return the first text encoder; loaded at its first use, since serving needs none."""
        return self._text_encoder(CLIPTextModel.from_pretrained(self.folder / "text_encoder", dtype=self.dtype))

    @cached_property
    def text_encoder_2(self) -> CLIPTextModelWithProjection:
        """Return the second text encoder, which also gives the pooled vector."""
        folder = self.folder / "text_encoder_2"
        return self._text_encoder(CLIPTextModelWithProjection.from_pretrained(folder, dtype=self.dtype))

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Return (channels, height, width) of one crop's latents."""
        side = self.resolution // 2 ** (len(self.vae.config.block_out_channels) - 1)
        return int(self.vae.config.latent_channels), side, side

    def class_prompt(self) -> PromptEmbeds:
        """Return the embeds of y*, "a photo of a face": from the bundle's cache, else encoded once."""
        if "class" not in self._prompts:
            path = self.folder / CLASS_PROMPT
            if path.exists():
                stored = load_file(path)
                prompt = PromptEmbeds(stored["embeds"], stored["pooled"])
            else:
                with torch.no_grad():
                    prompt = encode_prompt(self)
            self._prompts["class"] = prompt.to(self.device, self.dtype)
        return self._prompts["class"]

    def added_conditions(self, prompt: PromptEmbeds) -> dict[str, Tensor]:
        """Return SDXL's extra conditions of a batch of prompts: the pooled vector and the size of the crop."""
        side = self.resolution
        time_ids = torch.tensor([side, side, 0, 0, side, side], device=self.device, dtype=self.dtype)
        return {"text_embeds": prompt.pooled, "time_ids": time_ids.expand(len(prompt), -1)}

    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Turn x (B, 3, S, S) in [-1, 1] into scaled latents: the posterior's mean, or a sample where asked."""
        posterior = self.vae.encode(x.to(self.device, self.vae.dtype)).latent_dist
        z = posterior.mean
        if generator is not None:
            z = z + posterior.std * torch.randn(z.shape, generator=generator).to(z)
        return (z * self.vae.config.scaling_factor).to(self.dtype)

    def decode(self, latents: Tensor) -> Tensor:
        """Turn scaled latents into x (B, 3, S, S), about [-1, 1], through the full VAE."""
        return self.vae.decode((latents / self.vae.config.scaling_factor).to(self.vae.dtype)).sample

    def preview(self, latents: Tensor) -> Tensor:
        """Turn scaled latents into x through the preview decoder, or the full VAE where the bundle has none."""
        if self.preview_decoder is None:
            return self.decode(latents)
        scaled = latents / self.preview_decoder.config.scaling_factor
        return self.preview_decoder.decode(scaled.to(self.preview_decoder.dtype)).sample

    def _text_encoder(self, module: Any) -> Any:
        module = module.eval().requires_grad_(False)
        if self.turns is None:
            return module.to(self.device)
        self.turns.add("text", module)
        return module


def load_backbone(
    folder: Path, device: str = "cpu", dtype: torch.dtype | None = None, layout: Layout | None = None
) -> Backbone:
    """Load a bundle; on a CPU in fp32, elsewhere in half precision, in the layout that fits, unless told otherwise.

    MissingBundle when the folder holds none, DamagedBundle when a file is not the one its manifest names.
    """
    manifest = read_manifest(folder)
    verify_files(folder, manifest)
    place = torch.device(device)
    dtype = dtype or (torch.float32 if place.type == "cpu" else half_dtype(place))
    layout = layout or fitting_layout(sum(path.stat().st_size for path in folder.rglob("*")), device_memory(place))
    # Recognizers, small heads and the preview decoder have gradients that fp16 cannot hold.
    differentiable = torch.float32 if dtype == torch.float16 else dtype

    def small(part: str, load: Callable[[Path], nn.Module], file: str = "") -> Any:
        network: Any = load(folder / part / file).eval().requires_grad_(False)
        return network.to(place, torch.float32, memory_format=torch.channels_last)

    def optional(part: str, load: Callable[[Path], nn.Module], file: str = "") -> Any:
        return small(part, load, file) if (folder / part).is_dir() else None

    networks = {
        "unet": UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=dtype),
        "controlnet": ControlNetModel.from_pretrained(folder / "controlnet", torch_dtype=dtype),
        "vae": AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=_vae_dtype(folder, dtype)),
        "preview_decoder": AutoencoderTiny.from_pretrained(folder / "preview_decoder", torch_dtype=differentiable)
        if (folder / "preview_decoder").is_dir()
        else None,
    }
    return Backbone(
        folder=folder,
        manifest=manifest,
        device=place,
        dtype=dtype,
        turns=laid_out(networks, place, layout, int(manifest["resolution"])),
        scheduler=_scheduler(folder / "scheduler"),
        recognizer=small("faces", _fast_recognizer, "recognition.onnx"),
        second_recognizer=optional("second_recognizer", _fast_recognizer, "recognition.onnx"),
        quality=optional("quality", load_quality),
        identity_projection=optional("identity_projection", load_identity_projection),
        **networks,
    )


def laid_out(networks: Mapping[str, Any], device: torch.device, layout: Layout, side: int) -> Turns | None:
    """Freeze networks and put them on a device, for crops of `side` px; returns the turns of those that take any."""
    there = {name: network.eval().requires_grad_(False) for name, network in networks.items() if network is not None}
    turns = Turns(device) if layout.offload else None
    for name, network in there.items():
        # Nothing but convolutions: guidance through them takes a quarter less time in this memory order.
        if layout.channels_last or name in ("vae", "preview_decoder"):
            network.to(memory_format=torch.channels_last)
        if turns is not None and name == "controlnet":
            turns.add(name, network)
        else:
            network.to(device)
    if device.type == "cpu":
        attend_on_cpu(there["unet"], there["controlnet"])
    if layout.tiled_vae:
        tile_vae(there["vae"], side)
    if layout.checkpointed:
        there["unet"].enable_gradient_checkpointing()
    if layout.compiled:
        compile_blocks(there["unet"], there["controlnet"])
    return turns


def _scheduler(folder: Path) -> DDIMScheduler:
    scheduler = DDIMScheduler.from_pretrained(folder)
    if (predicted := scheduler.config.prediction_type) not in ("epsilon", "v_prediction"):
        raise DamagedBundle(f"got a scheduler whose UNet predicts {predicted!r}, wanted epsilon or v_prediction")
    return scheduler


def _fast_recognizer(path: Path) -> IResNet:
    return folded(load_recognizer(path))


def _vae_dtype(folder: Path, dtype: torch.dtype) -> torch.dtype:
    """Return a VAE's dtype: one whose config says that it overflows in fp16, as SDXL's original does, stays in fp32."""
    config = AutoencoderKL.load_config(folder / "vae")
    return torch.float32 if dtype == torch.float16 and config.get("force_upcast", True) else dtype


def load_identity_projection(folder: Path) -> IdentityProjection:
    """Load the identity projection of a bundle's `identity_projection/`."""
    projection = IdentityProjection(**json.loads((folder / "config.json").read_text()))
    projection.load_state_dict(load_file(folder / "model.safetensors"))
    return projection


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return a bundle's manifest; MissingBundle where there is none, DamagedBundle where it is none."""
    path = folder / MANIFEST
    if not path.is_file():
        raise MissingBundle(f"got {folder}, which has no {MANIFEST}; wanted a bundle's folder")
    try:
        manifest: Any = json.loads(path.read_bytes())
    except ValueError as error:
        raise DamagedBundle(f"{path} is no JSON ({error}); fetch or build the bundle again") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict) or "name" not in manifest:
        raise DamagedBundle(f"{path} lacks `name` or `files`; fetch or build the bundle again")
    training = manifest.get("training", {})
    rate = training.get("token_learning_rate", _TOKEN_LEARNING_RATE) if isinstance(training, dict) else None
    if not isinstance(rate, float) or not 1e-7 <= rate <= 1:
        raise DamagedBundle(f"got `training` {training!r} in {path}, wanted a token_learning_rate from 1e-7 to 1")
    return manifest


def verify_files(folder: Path, manifest: dict[str, Any]) -> None:
    """Check every file against the manifest's SHA-256; DamagedBundle names the first that differs."""
    for name, wanted in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            raise DamagedBundle(f"bundle {manifest['name']} lacks {name}; fetch or build the bundle again")
        if (got := file_sha256(path)) != wanted:
            raise DamagedBundle(f"{name} of bundle {manifest['name']} has SHA-256 {got}, wanted {wanted}")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def base_digest(files: dict[str, str]) -> str:
    """Return one SHA-256 over the files of a manifest that an adapter is bound to."""
    return files_digest({name: sha256 for name, sha256 in files.items() if name.startswith(_BASE_PARTS)})


def files_digest(files: dict[str, str]) -> str:
    """Return one SHA-256 over the names and hashes of files."""
    return hashlib.sha256("".join(f"{k} {files[k]}\n" for k in sorted(files)).encode()).hexdigest()
