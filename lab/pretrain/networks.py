"""Untrained networks of a bundle, in SDXL's classes and shapes: `mini` to be trained, `tiny` for tests of shapes."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, ControlNetModel, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from core.quality import WORDS
from core.tokens import IdentityProjection

_PROMPT_WORDS = (
    "a",
    "photo",
    "of",
    "face",
    "person",
    "portrait",
    "image",
    "the",
    "and",
    "with",
    "very",
    "not",
    ",",
    ".",
)
_LETTERS = "abcdefghijklmnopqrstuvwxyz,."


@dataclass(frozen=True)
class Sizes:
    """The widths that tell one bundle of this shape from another."""

    resolution: int  # pixels
    latent_channels: int
    vae_channels: tuple[int, int, int, int]
    vae_groups: int
    preview_channels: int
    channels: tuple[int, ...]  # of the UNet's levels
    heads: tuple[int, ...]
    groups: int
    hint_channels: tuple[int, int, int, int]  # of the ControlNet's picture stem: three halvings
    first_hidden: int
    second_hidden: int
    prompt_length: int = 20


MINI = Sizes(
    resolution=128,
    latent_channels=16,
    vae_channels=(16, 40, 80, 128),
    vae_groups=8,
    preview_channels=32,
    channels=(96, 128, 160),
    heads=(3, 4, 5),
    groups=32,
    hint_channels=(16, 32, 64, 96),
    first_hidden=96,
    second_hidden=160,
)
TINY = Sizes(
    resolution=128,
    latent_channels=4,
    vae_channels=(8, 8, 8, 8),
    vae_groups=4,
    preview_channels=8,
    channels=(16, 32),
    heads=(1, 2),
    groups=8,
    hint_channels=(8, 8, 8, 8),
    first_hidden=16,
    second_hidden=32,
)


def new_vae(sizes: Sizes = MINI) -> AutoencoderKL:
    """Return an untrained VAE that makes latents of an eighth of the picture's side."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=sizes.vae_channels,
        layers_per_block=1,
        latent_channels=sizes.latent_channels,
        norm_num_groups=sizes.vae_groups,
        sample_size=sizes.resolution,
        mid_block_add_attention=False,
    )


def new_preview_decoder(sizes: Sizes = MINI) -> AutoencoderTiny:
    """Return an untrained preview decoder; only its decoder is ever used, so the encoder is kept small."""
    return AutoencoderTiny(
        latent_channels=sizes.latent_channels,
        encoder_block_out_channels=(8,) * 4,
        decoder_block_out_channels=(sizes.preview_channels,) * 4,
        num_encoder_blocks=(1,) * 4,
        num_decoder_blocks=(2, 2, 1, 1),
    )


def new_unet(sizes: Sizes = MINI) -> UNet2DConditionModel:
    """Return an untrained UNet with SDXL's conditions: cross-attention, pooled text, crop size."""
    levels = len(sizes.channels)
    return UNet2DConditionModel(
        sample_size=sizes.resolution // 8,
        in_channels=sizes.latent_channels,
        out_channels=sizes.latent_channels,
        down_block_types=("CrossAttnDownBlock2D",) * levels,
        up_block_types=("CrossAttnUpBlock2D",) * levels,
        block_out_channels=sizes.channels,
        layers_per_block=1,
        transformer_layers_per_block=1,
        attention_head_dim=sizes.heads,
        norm_num_groups=sizes.groups,
        cross_attention_dim=sizes.first_hidden + sizes.second_hidden,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=32,
        projection_class_embeddings_input_dim=sizes.second_hidden + 6 * 32,
    )


def new_controlnet(unet: UNet2DConditionModel, sizes: Sizes = MINI) -> ControlNetModel:
    """Return a ControlNet that starts as a copy of the UNet's encoder."""
    return ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=sizes.hint_channels)


def new_scheduler() -> DDIMScheduler:
    """Return SDXL's noise schedule, predicting v: errors in eps would be 15 times larger in x0-hat at the start."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        timestep_spacing="trailing",
        prediction_type="v_prediction",
    )


def new_tokenizer(sizes: Sizes = MINI) -> CLIPTokenizer:
    """Return a CLIP tokenizer over the prompts' own words, one token each; other words fall apart into letters."""
    merges = [merge for word in _words() for merge in _merges(word)]
    merges = list(dict.fromkeys(merges))
    tokens = [*_LETTERS, *(f"{letter}</w>" for letter in _LETTERS), *("".join(m) for m in merges)]
    tokens = list(dict.fromkeys(["<|pad|>", *tokens, "<|startoftext|>", "<|endoftext|>"]))
    vocabulary = {token: i for i, token in enumerate(tokens)}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "vocab.json").write_text(json.dumps(vocabulary))
        (Path(folder) / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(m) for m in merges) + "\n")
        return CLIPTokenizer(
            str(Path(folder) / "vocab.json"),
            str(Path(folder) / "merges.txt"),
            pad_token="<|pad|>",
            model_max_length=sizes.prompt_length,
        )


def new_text_encoders(
    tokenizer: CLIPTokenizer, sizes: Sizes = MINI
) -> tuple[CLIPTextModel, CLIPTextModelWithProjection]:
    """Return SDXL's pair of untrained text encoders; the second also gives a pooled vector."""

    def config(hidden: int, layers: int) -> CLIPTextConfig:
        return CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=hidden,
            intermediate_size=4 * hidden,
            num_hidden_layers=layers,
            num_attention_heads=max(1, hidden // 32),
            max_position_embeddings=sizes.prompt_length,
            projection_dim=hidden,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )

    return CLIPTextModel(config(sizes.first_hidden, 2)), CLIPTextModelWithProjection(config(sizes.second_hidden, 3))


def new_identity_projection(embedding_size: int, sizes: Sizes = MINI) -> IdentityProjection:
    """Return an untrained identity projection."""
    return IdentityProjection(embedding_size, sizes.first_hidden, sizes.second_hidden)


def _words() -> tuple[str, ...]:
    return tuple(dict.fromkeys([*_PROMPT_WORDS, *(part for words in WORDS for part in words.split())]))


def _merges(word: str) -> list[tuple[str, str]]:
    """Return the byte-pair merges that build a word from its letters, left to right."""
    pieces = [*word[:-1], word[-1] + "</w>"]
    merges = []
    while len(pieces) > 1:
        merges.append((pieces[0], pieces[1]))
        pieces = [pieces[0] + pieces[1], *pieces[2:]]
    return merges


def seeded(seed: int) -> None:
    """Seed the global generator, from which torch's modules draw their first weights."""
    torch.manual_seed(seed)
