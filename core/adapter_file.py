"""An adapter as bytes: safetensors with metadata, checked to the last key before any of it is used.

Adapters are handed from machine to machine and back, so a file is believed only where it is exactly what this bundle
would have written: same keys, shapes and dtypes, finite, made on the same UNet and text encoders.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from core.backbone import Backbone
from core.errors import AdapterMismatch, DamagedAdapter, InvalidOption
from core.images import write_atomically
from core.injector import Adapter, lora_shapes
from core.options import TrainOptions
from core.tokens import IDENTITY_TOKENS, PromptEmbeds, TokenVectors

FORMAT = "idprefer-adapter-1"
_MAX_BYTES = 128 << 20  # every attention layer of SDXL at rank 16 takes 44 MiB
_MAX_HEADER_BYTES = 1 << 20  # every attention layer of SDXL has a quarter of that to say
_MAX_REFERENCES = 64
_TYPES = ("F16", "F32")  # safetensors knows more than torch does
_COSINE, _UNIT = 1.01, 1e-3  # the largest that rounding leaves, and how far a unit vector's length may be off
_METADATA = {"bundle", "base_digest", "recognizers", "options", "quality_report", "training"}


def pack_adapter(adapter: Adapter) -> bytes:
    """Return an adapter as the bytes of a safetensors file."""
    tensors = {f"lora.{name}": weight for name, weight in adapter.lora.items()}
    tensors |= {
        "prompt.embeds": adapter.prompt.embeds,
        "prompt.pooled": adapter.prompt.pooled,
        "identity.first": adapter.identity.first,
        "identity.second": adapter.identity.second,
        "references.first": adapter.references,
        "references.second": adapter.second_references,
    }
    # One entry only: safetensors writes several in any order, and equal adapters are to be equal files.
    metadata = {FORMAT: json.dumps(adapter.metadata, sort_keys=True)}
    return save({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, metadata)


def read_adapter(path: Path, backbone: Backbone) -> Adapter:
    """Read an adapter's file; DamagedAdapter or AdapterMismatch where it does not fit to the last byte."""
    if not path.is_file():
        raise DamagedAdapter(f"got {path}, which is no file; wanted an adapter that `personalize` wrote")
    _check_size(path.stat().st_size)
    try:
        return unpack_adapter(path.read_bytes(), backbone)
    except DamagedAdapter as error:
        raise DamagedAdapter(f"{path}: {error}") from error


def unpack_adapter(data: bytes, backbone: Backbone) -> Adapter:
    """Return the adapter that bytes hold, once all of it is checked against the bundle it is to serve."""
    _check_size(len(data))
    header = _header(data)
    metadata = _metadata(header)
    _check_types(header)
    try:
        tensors = load(data)
    except SafetensorError as error:
        raise DamagedAdapter(f"got bytes that are no safetensors file ({error}); wanted a whole adapter") from error
    if metadata["base_digest"] != backbone.base_digest:
        raise AdapterMismatch(
            f"got an adapter of bundle {metadata['bundle']} (base {str(metadata['base_digest'])[:12]}), wanted one of "
            f"{backbone.name} (base {backbone.base_digest[:12]}); personalize on this bundle"
        )
    _check_tensors(tensors, metadata, backbone)
    return Adapter(
        lora={name.removeprefix("lora."): value for name, value in tensors.items() if name.startswith("lora.")},
        prompt=PromptEmbeds(tensors["prompt.embeds"], tensors["prompt.pooled"]),
        identity=TokenVectors(tensors["identity.first"], tensors["identity.second"]),
        references=tensors["references.first"],
        second_references=tensors["references.second"],
        metadata=metadata,
    )


def export_diffusers(adapter: Adapter, folder: Path) -> None:
    """Write the LoRA as diffusers' `load_lora_weights` reads it, and [V] as `clip_l` and `clip_g` embeddings."""
    folder.mkdir(parents=True, exist_ok=True)
    lora = {f"unet.{name}": weight.detach().cpu().contiguous() for name, weight in adapter.lora.items()}
    vectors = {"clip_l": adapter.identity.first, "clip_g": adapter.identity.second}
    embeddings = {name: value.detach().cpu().contiguous() for name, value in vectors.items()}
    write_atomically(folder / "pytorch_lora_weights.safetensors", save(lora, {"format": "pt"}))
    write_atomically(folder / "identity_embeddings.safetensors", save(embeddings, {"format": "pt"}))


def _check_size(size: int) -> None:
    if size > _MAX_BYTES:
        raise DamagedAdapter(f"got an adapter of {size} bytes, wanted at most {_MAX_BYTES}")


def _header(data: bytes) -> dict[str, Any]:
    """Return what a file says it holds, before anything else believes it."""
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > min(_MAX_HEADER_BYTES, len(data) - 8):
        raise DamagedAdapter(
            f"got {len(data):,} bytes that are no safetensors file of ours (its header would be {size:,}), wanted a "
            f"whole adapter with a header of at most {_MAX_HEADER_BYTES:,}"
        )
    try:
        header = json.loads(data[8 : 8 + size], object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise DamagedAdapter(
            f"got bytes that are no safetensors file (its header is no JSON: {error}); wanted a whole adapter"
        ) from error
    if not isinstance(header, dict):
        raise DamagedAdapter("got a safetensors header that is no JSON object, wanted a whole adapter")
    return header


def _check_types(header: Mapping[str, Any]) -> None:
    for name, entry in header.items():
        if name != "__metadata__" and not (isinstance(entry, dict) and entry.get("dtype") in _TYPES):
            raise DamagedAdapter(f"got {name[:80]!r} of another type than an adapter's, wanted F16 or F32")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; one that has a key twice could mean one thing to us and another to safetensors."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise DamagedAdapter("got an adapter that has a key twice, wanted each once; export it anew")
    return found


def _metadata(header: Mapping[str, Any]) -> dict[str, Any]:
    stored = header.get("__metadata__", {})
    if not isinstance(stored, dict) or list(stored) != [FORMAT]:
        raise DamagedAdapter(f"got a safetensors file without the metadata {FORMAT!r} alone, wanted just that")
    try:
        metadata: dict[str, Any] = json.loads(stored[FORMAT], object_pairs_hook=_once)
    except (ValueError, TypeError, RecursionError) as error:
        raise DamagedAdapter(f"got metadata that is no JSON ({error}); wanted an adapter as it was written") from error
    if not isinstance(metadata, dict) or set(metadata) != _METADATA:
        raise DamagedAdapter(f"got metadata of other entries, wanted exactly {', '.join(sorted(_METADATA))}")
    _check_metadata(metadata)
    return metadata


def _check_metadata(metadata: Mapping[str, Any]) -> None:
    """Refuse entries of other types: what reads them later believes them."""
    recognizers, training = metadata["recognizers"], metadata["training"]
    well = {
        "bundle": isinstance(metadata["bundle"], str),
        "recognizers": isinstance(recognizers, list)
        and len(recognizers) == 2
        and all(one is None or isinstance(one, str) for one in recognizers),
        "quality_report": isinstance(metadata["quality_report"], list)
        and all(_is_report(report) for report in metadata["quality_report"]),
        "training": _is_training(training),
    }
    if wrong := [name for name, fits in well.items() if not fits]:
        raise DamagedAdapter(f"got metadata whose {wrong[0]} is none; wanted an adapter as it was written")


def _is_training(training: object) -> bool:
    """Say whether this is what an adapter tells of its training."""
    if not isinstance(training, dict) or set(training) != {"steps", "kept_step", "held_out_identity"}:
        return False
    identity = training["held_out_identity"]
    return identity is None or (type(identity) in (int, float) and abs(identity) <= _COSINE)  # nan is in no range


def _is_report(report: object) -> bool:
    """Say whether this is what an adapter reports of one reference photo."""
    if not isinstance(report, dict) or set(report) != {"score", "words", "held_out"}:
        return False
    return type(report["score"]) in (int, float) and 0 <= report["score"] <= 1 and isinstance(report["words"], list)


def _check_tensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any], backbone: Backbone) -> None:
    """Compare keys, shapes and dtypes with what this bundle would have written, and look for numbers that are none."""
    wanted = _wanted(_options(metadata), _reference_count(tensors), backbone)
    if (told := len(metadata["quality_report"])) != (count := _reference_count(tensors)):
        raise DamagedAdapter(f"got a report of {told} references and embeddings of {count}, wanted one for each")
    if wrong := sorted(set(tensors) ^ set(wanted)):
        raise DamagedAdapter(f"got an adapter that lacks or adds {wrong[0]} ({len(wrong)} such); wanted the exact keys")
    for name, (shape, dtype) in wanted.items():
        got = tensors[name]
        if (tuple(got.shape), got.dtype) != (shape, dtype):
            raise DamagedAdapter(f"got {name} as {got.dtype} {tuple(got.shape)}, wanted {dtype} {shape}")
        if not torch.isfinite(got).all():
            raise DamagedAdapter(f"got {name} with numbers that are not finite; wanted an adapter as it was trained")
    for name in ("references.first", "references.second"):
        lengths = tensors[name].double().norm(dim=-1)
        if tensors[name].shape[-1] and (lengths - 1).abs().max() > _UNIT:
            raise DamagedAdapter(f"got {name} with embeddings that are not of unit length; wanted them as they were")


def _options(metadata: Mapping[str, Any]) -> TrainOptions:
    if not isinstance(metadata["options"], dict):
        raise DamagedAdapter(f"got options of type {type(metadata['options']).__name__}, wanted names and values")
    try:
        return TrainOptions.from_dict(metadata["options"])
    except InvalidOption as error:
        raise DamagedAdapter(f"got an adapter trained with options that are none: {error}") from error


def _reference_count(tensors: Mapping[str, Tensor]) -> int:
    count = (
        len(tensors["references.first"]) if "references.first" in tensors and tensors["references.first"].ndim else 0
    )
    if not 1 <= count <= _MAX_REFERENCES:
        raise DamagedAdapter(f"got an adapter of {count} references, wanted 1 to {_MAX_REFERENCES}")
    return count


def _wanted(
    options: TrainOptions, references: int, backbone: Backbone
) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Return the shape and dtype of every tensor of an adapter trained with the options."""
    prompt, first, second = backbone.class_prompt(), *embedding_sizes(backbone)
    recognizers = (backbone.recognizer, backbone.second_recognizer)
    sizes = [0 if recognizer is None else recognizer.embedding_size for recognizer in recognizers]
    shapes: dict[str, tuple[int, ...]] = {
        "prompt.embeds": tuple(prompt.embeds.shape),
        "prompt.pooled": tuple(prompt.pooled.shape),
        "identity.first": (IDENTITY_TOKENS, first),
        "identity.second": (IDENTITY_TOKENS, second),
        "references.first": (references, sizes[0]),
        "references.second": (references, sizes[1]),
    }
    wanted = {name: (shape, torch.float32) for name, shape in shapes.items()}
    for name, weight in lora_shapes(backbone.unet, options.targets, options.rank).items():
        wanted[f"lora.{name}"] = (weight, torch.float16)
    return wanted


def embedding_sizes(backbone: Backbone) -> tuple[int, int]:
    """Return the width of the two text encoders' input embeddings, read from their configs: serving loads neither."""
    folders = (backbone.folder / name / "config.json" for name in ("text_encoder", "text_encoder_2"))
    first, second = (int(json.loads(path.read_text())["hidden_size"]) for path in folders)
    return first, second
