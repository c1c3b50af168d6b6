"""Networks -> a bundle's folder, and its manifest with the SHA-256 of every file."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from core.arcface import IResNet, export_onnx
from core.backbone import CLASS_PROMPT, MANIFEST, file_sha256
from core.errors import MissingBundle
from core.quality import QualityNet, save_quality
from core.tokens import IdentityProjection, TextEncoders, encode_prompt
from lab.pretrain.backbone import BackboneNetworks
from lab.pretrain.networks import (
    TINY,
    Sizes,
    new_controlnet,
    new_identity_projection,
    new_preview_decoder,
    new_scheduler,
    new_text_encoders,
    new_tokenizer,
    new_unet,
    new_vae,
    seeded,
)


def new_backbone_networks(embedding_size: int, sizes: Sizes) -> BackboneNetworks:
    """Return the untrained networks of the denoiser; the ControlNet starts as the UNet's own encoder."""
    tokenizer = new_tokenizer(sizes)
    text_encoder, text_encoder_2 = new_text_encoders(tokenizer, sizes)
    unet = new_unet(sizes)
    return BackboneNetworks(
        unet=unet,
        controlnet=new_controlnet(unet, sizes),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        text_encoder=text_encoder,
        text_encoder_2=text_encoder_2,
        identity_projection=new_identity_projection(embedding_size, sizes),
        scheduler=new_scheduler(),
        resolution=sizes.resolution,
    )


def start_from(networks: BackboneNetworks, bundle: Path) -> None:
    """Give untrained networks the weights of a bundle of the same sizes, so that a new run goes on from there."""
    for name, module in networks.modules().items():
        files = sorted((bundle / name).glob("*.safetensors"))
        if len(files) != 1:
            raise MissingBundle(f"got {len(files)} safetensors files in {bundle / name}, wanted one to start from")
        module.load_state_dict(load_file(files[0]))


def write_backbone(networks: BackboneNetworks, bundle: Path) -> None:
    """Write the denoiser's networks in fp16 diffusers layout, with the cached embeds of y*."""
    bundle.mkdir(parents=True, exist_ok=True)
    write_class_prompt(networks, bundle)
    for name in ("unet", "controlnet", "text_encoder", "text_encoder_2"):
        _write_half(getattr(networks, name), bundle / name)
    for name in ("tokenizer", "tokenizer_2", "scheduler"):
        getattr(networks, name).save_pretrained(bundle / name)
    write_identity_projection(networks.identity_projection, bundle / "identity_projection")


def write_class_prompt(encoders: TextEncoders, bundle: Path) -> None:
    """Encode y*, "a photo of a face", once, so that serving needs no text encoder."""
    with torch.no_grad():
        prompt = encode_prompt(encoders)
    embeds = {"embeds": prompt.embeds.float().contiguous(), "pooled": prompt.pooled.float().contiguous()}
    save_file(embeds, bundle / CLASS_PROMPT)


def write_identity_projection(projection: IdentityProjection, folder: Path) -> None:
    """Write an identity projection as config and weights."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(projection.config, indent=2) + "\n")
    save_file({k: v.contiguous() for k, v in projection.state_dict().items()}, folder / "model.safetensors")


def seal(bundle: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Write `bundle.json`: what the bundle is, and the SHA-256 of every file in it."""
    files = sorted(p for p in bundle.rglob("*") if p.is_file() and p.name not in (MANIFEST, "README.md"))
    manifest = {**about, "files": {str(p.relative_to(bundle)): file_sha256(p) for p in files}}
    (bundle / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    return manifest


def write_tiny_bundle(folder: Path, seed: int = 0, faces: Path | None = None) -> Path:
    """Write a complete bundle of random networks, of mini's shape and a hundredth of its size, for tests.

    `faces`: another bundle's folder whose detector, recognizer and quality network are to be used; without it the
    recognizer is random and there is no detector.
    """
    seeded(seed)
    recognizer = IResNet(layers=(1, 1, 1, 1), widths=(8, 8, 8, 8), embedding_size=32)
    size = 32
    if faces is None:
        (folder / "faces").mkdir(parents=True, exist_ok=True)
        export_onnx(recognizer.eval(), folder / "faces" / "recognition.onnx")
        save_quality(QualityNet(), folder / "quality")
    else:
        shutil.copytree(faces / "faces", folder / "faces")
        shutil.copytree(faces / "quality", folder / "quality")
        projection = json.loads((faces / "identity_projection" / "config.json").read_text())
        size = projection["embedding_size"]
    write_backbone(new_backbone_networks(size, TINY), folder)
    _write_half(new_vae(TINY), folder / "vae")
    _write_half(new_preview_decoder(TINY), folder / "preview_decoder")
    seal(folder, {"name": "tiny", "resolution": TINY.resolution, "licences": {}})
    return folder


def _write_half(module: Any, folder: Path) -> None:
    """Save a network in fp16 without changing it."""
    assert isinstance(module, nn.Module)
    kept = {key: value.clone() for key, value in module.state_dict().items()}
    module.half().save_pretrained(folder)  # type: ignore[operator]
    module.float().load_state_dict(kept)
