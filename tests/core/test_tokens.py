"""Tests of the prompts: y and y*, where the vectors go, that nothing shared is changed."""

import pytest
import torch
from torch import Tensor

from core.backbone import Backbone
from core.tokens import (
    IDENTITY_TOKENS,
    QUALITY_TOKENS,
    Prompt,
    PromptEmbeds,
    TokenVectors,
    encode_prompt,
    encode_prompts,
    project_identity,
    word_vectors,
)


def vectors(backbone: Backbone, count: int, seed: int) -> TokenVectors:
    """Return random input-embedding vectors for both encoders."""
    generator = torch.Generator().manual_seed(seed)
    sizes = (encoder.config.hidden_size for encoder in (backbone.text_encoder, backbone.text_encoder_2))
    return TokenVectors(*(torch.randn(count, size, generator=generator) for size in sizes))


def plain(backbone: Backbone, text: str) -> PromptEmbeds:
    """Encode ordinary text as SDXL does, by the libraries' own means."""
    parts = []
    pairs = ((backbone.tokenizer, backbone.text_encoder), (backbone.tokenizer_2, backbone.text_encoder_2))
    for tokenizer, encoder in pairs:
        ids = tokenizer(
            text, padding="max_length", max_length=tokenizer.model_max_length, return_tensors="pt"
        ).input_ids
        parts.append(encoder(ids, output_hidden_states=True))
    return PromptEmbeds(torch.cat([p.hidden_states[-2] for p in parts], dim=-1), parts[1].text_embeds)


def same(a: PromptEmbeds, b: PromptEmbeds) -> bool:
    """Say whether two prompts agree to rounding."""
    return torch.allclose(a.embeds, b.embeds, atol=1e-5) and torch.allclose(a.pooled, b.pooled, atol=1e-5)


@torch.no_grad()
def test_class_prompt_is_plain_text(backbone: Backbone) -> None:
    """y* is "a photo of a face", as SDXL's pipeline would encode it, and what the bundle caches."""
    wanted = plain(backbone, "a photo of a face")
    assert same(encode_prompt(backbone), wanted)
    # The cache was made before the encoders were rounded to half precision.
    assert (backbone.class_prompt().embeds - wanted.embeds).abs().max() < 2e-2


@torch.no_grad()
def test_a_words_own_vectors_spell_the_word(backbone: Backbone) -> None:
    """Quality vectors that are the rows of words give the prompt with those words written out."""
    words = word_vectors(backbone, ["blurry", "noisy"])
    got = encode_prompt(backbone, quality=words)
    assert same(got, plain(backbone, "a photo of a face blurry noisy blurry noisy"))


@torch.no_grad()
def test_every_vector_counts(backbone: Backbone) -> None:
    """[V] and Q_i each move the prompt, and so does every single vector of [V]."""
    identity, quality = vectors(backbone, IDENTITY_TOKENS, 0), vectors(backbone, QUALITY_TOKENS, 1)
    whole = encode_prompt(backbone, identity, quality)
    assert not same(whole, encode_prompt(backbone, identity))
    assert not same(whole, encode_prompt(backbone, None, quality))
    for i in range(IDENTITY_TOKENS):
        moved = identity.first.clone()
        moved[i] += 1
        assert not same(whole, encode_prompt(backbone, TokenVectors(moved, identity.second), quality))


@torch.no_grad()
def test_a_batch_is_its_prompts(backbone: Backbone) -> None:
    """Prompts of different lengths in one batch come out as they do alone."""
    prompts = [
        Prompt(),
        Prompt(vectors(backbone, IDENTITY_TOKENS, 0)),
        Prompt(vectors(backbone, IDENTITY_TOKENS, 2), vectors(backbone, QUALITY_TOKENS, 1)),
    ]
    together = encode_prompts(backbone, prompts)
    for i, prompt in enumerate(prompts):
        assert same(together[i : i + 1], encode_prompt(backbone, prompt.identity, prompt.quality))
    assert same(PromptEmbeds.cat([together[:1], together[1:]]), together)
    assert len(together[:1].expand(5)) == 5


def test_nothing_shared_is_changed(backbone: Backbone) -> None:
    """Tables, tokenizers and hooks are what they were, after success and after an error."""
    tables = [e.get_input_embeddings() for e in (backbone.text_encoder, backbone.text_encoder_2)]
    before: list[Tensor] = [table.weight.clone() for table in tables]
    sizes = len(backbone.tokenizer), len(backbone.tokenizer_2)
    with torch.no_grad():
        encode_prompt(backbone, vectors(backbone, IDENTITY_TOKENS, 0))
    broken = TokenVectors(torch.zeros(IDENTITY_TOKENS, 3), torch.zeros(IDENTITY_TOKENS, 3))
    with pytest.raises(RuntimeError):
        encode_prompt(backbone, broken)
    assert all(torch.equal(table.weight, old) for table, old in zip(tables, before, strict=True))
    assert not any(table._forward_hooks for table in tables)
    assert (len(backbone.tokenizer), len(backbone.tokenizer_2)) == sizes


def test_gradients_reach_the_vectors_only(backbone: Backbone) -> None:
    """[V] and Q_i learn; the encoders do not."""
    identity, quality = vectors(backbone, IDENTITY_TOKENS, 0), vectors(backbone, QUALITY_TOKENS, 1)
    leaves = [identity.first, identity.second, quality.first, quality.second]
    for leaf in leaves:
        leaf.requires_grad_()
    prompt = encode_prompt(backbone, identity, quality)
    (prompt.embeds.square().sum() + prompt.pooled.square().sum()).backward()
    for leaf in leaves:
        assert leaf.grad is not None
        assert (leaf.grad.abs().sum(-1) > 0).all()
    for encoder in (backbone.text_encoder, backbone.text_encoder_2):
        assert all(p.grad is None for p in encoder.parameters())


def test_words_of_any_number_fill_the_slot(backbone: Backbone) -> None:
    """One word is repeated, many are cut, none is a mistake that is named."""
    one = word_vectors(backbone, ["sharp"])
    assert torch.equal(one.first[0], one.first[3])
    assert word_vectors(backbone, ["blurry", "noisy", "compressed", "low resolution"]).first.shape[0] == QUALITY_TOKENS
    with pytest.raises(ValueError, match="at least one"):
        word_vectors(backbone, [])


def test_projection(backbone: Backbone) -> None:
    """A face becomes IDENTITY_TOKENS vectors for each encoder; different faces, different vectors."""
    size = backbone.recognizer.embedding_size
    a, b = torch.nn.functional.normalize(torch.randn(2, size, generator=torch.Generator().manual_seed(0)), dim=-1)
    first, second = project_identity(backbone, a), project_identity(backbone, b)
    assert first.first.shape == (IDENTITY_TOKENS, backbone.text_encoder.config.hidden_size)
    assert first.second.shape == (IDENTITY_TOKENS, backbone.text_encoder_2.config.hidden_size)
    assert not torch.equal(first.first, second.first)
