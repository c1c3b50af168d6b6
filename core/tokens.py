"""Prompts as the paper writes them: y = "a photo of a [V] face, Q_i" and y* = "a photo of a face".

[V] and Q_i are small vectors of their own, spliced into what the text encoders' embedding tables put out; the shared
tokenizers and tables are never changed, so one person's words cannot be found in another person's prompt.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from einops import rearrange
from torch import Tensor, nn

if TYPE_CHECKING:
    from core.backbone import Backbone


class TextEncoders(Protocol):
    """SDXL's pair of text encoders with their tokenizers: a Backbone has them, and so has a pretraining run."""

    @property
    def tokenizer(self) -> Any: ...
    @property
    def tokenizer_2(self) -> Any: ...
    @property
    def text_encoder(self) -> Any: ...
    @property
    def text_encoder_2(self) -> Any: ...


IDENTITY_TOKENS = 4  # vectors in the [V] slot
QUALITY_TOKENS = 4  # vectors in the Q_i slot


@dataclass(frozen=True)
class PromptEmbeds:
    """What the UNet sees of a batch of prompts: embeds (B, L, C) and the pooled vector (B, P)."""

    embeds: Tensor
    pooled: Tensor

    def __len__(self) -> int:
        return len(self.embeds)

    def __getitem__(self, index: slice) -> "PromptEmbeds":
        return PromptEmbeds(self.embeds[index], self.pooled[index])

    def expand(self, count: int) -> "PromptEmbeds":
        """Return the one prompt of this batch `count` times."""
        return PromptEmbeds(self.embeds.expand(count, -1, -1), self.pooled.expand(count, -1))

    def to(self, device: torch.device | str, dtype: torch.dtype) -> "PromptEmbeds":
        """Return the prompts on another device, in another dtype."""
        return PromptEmbeds(self.embeds.to(device, dtype), self.pooled.to(device, dtype))

    @staticmethod
    def cat(parts: "Sequence[PromptEmbeds]") -> "PromptEmbeds":
        """Join batches of prompts, in order."""
        return PromptEmbeds(torch.cat([p.embeds for p in parts]), torch.cat([p.pooled for p in parts]))


@dataclass(frozen=True)
class TokenVectors:
    """Input-embedding vectors for the two text encoders: first (n, h1), second (n, h2)."""

    first: Tensor
    second: Tensor


@dataclass(frozen=True)
class Prompt:
    """One prompt: with identity it is y, without it y*; quality stands at its end."""

    identity: TokenVectors | None = None  # IDENTITY_TOKENS vectors
    quality: TokenVectors | None = None  # QUALITY_TOKENS vectors


class IdentityProjection(nn.Module):
    """Recognizer embedding (B, D), unit length -> the [V] slot's vectors (B, n, h1) and (B, n, h2)."""

    def __init__(self, embedding_size: int, first_size: int, second_size: int, hidden_size: int = 384) -> None:
        super().__init__()
        self.config = {
            "embedding_size": embedding_size,
            "first_size": first_size,
            "second_size": second_size,
            "hidden_size": hidden_size,
        }
        self.first_size = first_size
        self.hidden = nn.Sequential(
            nn.Linear(embedding_size, hidden_size), nn.GELU(), nn.Linear(hidden_size, hidden_size), nn.GELU()
        )
        self.vectors = nn.Linear(hidden_size, IDENTITY_TOKENS * (first_size + second_size))

    def forward(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        # Unit embeddings have entries of about D^-0.5: brought to unit variance for the first layer.
        vectors = self.vectors(self.hidden(embedding * embedding.shape[-1] ** 0.5))
        vectors = rearrange(vectors, "b (n h) -> b n h", n=IDENTITY_TOKENS)
        return vectors[..., : self.first_size], vectors[..., self.first_size :]


def project_identity(backbone: "Backbone", embedding: Tensor) -> TokenVectors:
    """Return what the bundle's identity projection makes of one unit embedding (D,), in fp32."""
    if backbone.identity_projection is None:
        raise ValueError(f"bundle {backbone.name} has no identity projection, wanted one to turn a face into [V]")
    first, second = backbone.identity_projection(embedding.float()[None])
    return TokenVectors(first[0], second[0])


def word_vectors(encoders: TextEncoders, words: Sequence[str]) -> TokenVectors:
    """Return the embedding-table rows of the words, repeated or cut to QUALITY_TOKENS; no words: ValueError."""
    if not words:
        raise ValueError("got no quality words, wanted at least one")
    tables = []
    pairs = ((encoders.tokenizer, encoders.text_encoder), (encoders.tokenizer_2, encoders.text_encoder_2))
    for tokenizer, encoder in pairs:
        ids = tokenizer(" ".join(words), add_special_tokens=False).input_ids
        ids = [ids[i % len(ids)] for i in range(QUALITY_TOKENS)]
        tables.append(encoder.get_input_embeddings().weight[ids].float())
    return TokenVectors(*tables)


def encode_prompt(
    encoders: TextEncoders, identity: TokenVectors | None = None, quality: TokenVectors | None = None
) -> PromptEmbeds:
    """Encode one prompt: y where an identity is given, else y*."""
    return encode_prompts(encoders, [Prompt(identity, quality)])


def encode_prompts(encoders: TextEncoders, prompts: Sequence[Prompt]) -> PromptEmbeds:
    """Encode a batch of prompts through both text encoders, as SDXL does.

    embeds are the encoders' last but one hidden states side by side, pooled is the second's text embedding.
    Gradients reach the spliced vectors.
    """
    first = _encode(encoders.tokenizer, encoders.text_encoder, prompts, "first")
    second = _encode(encoders.tokenizer_2, encoders.text_encoder_2, prompts, "second")
    embeds = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
    return PromptEmbeds(embeds, second.text_embeds)


def _encode(tokenizer: Any, encoder: nn.Module, prompts: Sequence[Prompt], side: str) -> Any:
    rows = [_ids(tokenizer, prompt) for prompt in prompts]
    splices = [(i, at, getattr(v, side)) for i, (_, places) in enumerate(rows) for at, v in places]
    device = next(encoder.parameters()).device
    with _spliced(encoder, splices):
        return encoder(torch.tensor([ids for ids, _ in rows], device=device), output_hidden_states=True)


def _ids(tokenizer: Any, prompt: Prompt) -> tuple[list[int], list[tuple[int, TokenVectors]]]:
    """Return a prompt's token ids, padded to the tokenizer's length, and where each group of vectors goes."""

    def plain(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False).input_ids)

    ids, places = [tokenizer.bos_token_id, *plain("a photo of a")], []
    slot = plain("a")[0]  # stands where vectors will be written over its embedding
    if prompt.identity is not None:
        places.append((len(ids), prompt.identity))
        ids += [slot] * len(prompt.identity.first)
    ids += plain("face")
    if prompt.quality is not None:
        places.append((len(ids), prompt.quality))
        ids += [slot] * len(prompt.quality.first)
    ids.append(tokenizer.eos_token_id)
    return ids + [tokenizer.pad_token_id] * (tokenizer.model_max_length - len(ids)), places


@contextmanager
def _spliced(encoder: nn.Module, splices: Sequence[tuple[int, int, Tensor]]) -> Iterator[None]:
    """Let the embedding table put out the given vectors at (row, position); undone on leaving."""

    def write(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        output = output.clone()
        for row, at, vectors in splices:
            output[row, at : at + len(vectors)] = vectors.to(output.device, output.dtype)
        return output

    hook = encoder.get_input_embeddings().register_forward_hook(write)  # type: ignore[operator]
    try:
        yield
    finally:
        hook.remove()
