"""Tests of the denoising loop: agreement with diffusers' own, seeds, neighbours, stopping."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionXLControlNetPipeline
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPTokenizer

from core.adapter_file import export_diffusers
from core.backbone import Backbone
from core.errors import Interrupted
from core.injector import Adapter
from core.options import RestoreOptions
from core.sampling import FaceCondition, sample

QUICK = RestoreOptions(steps=3, guidance=False)


@pytest.fixture(scope="module")
def controlled(backbone: Backbone) -> Backbone:
    """The tiny bundle with a ControlNet that does something: an untrained one gives zeros."""
    controlnet = deepcopy(backbone.controlnet)
    generator = torch.Generator().manual_seed(8)
    with torch.no_grad():
        for block in (*controlnet.controlnet_down_blocks, controlnet.controlnet_mid_block):
            block.weight.copy_(torch.randn(block.weight.shape, generator=generator) * 0.1)
        last = controlnet.controlnet_cond_embedding.conv_out
        last.weight.copy_(torch.randn(last.weight.shape, generator=generator) * 0.1)
    return replace(backbone, controlnet=controlnet)


@pytest.fixture(scope="module")
def lq(backbone: Backbone) -> Tensor:
    """Two degraded faces of nobody."""
    side = backbone.resolution
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(7)) * 2 - 1


def known(adapter: Adapter, seed: int = 1, target: float = 1.0) -> FaceCondition:
    """Return the condition of a face whose person has an adapter."""
    return FaceCondition(seed, adapter.prompt, adapter, adapter.references[0], target)


def pipeline(backbone: Backbone) -> Any:
    """Return diffusers' own pipeline over copies of the bundle's networks."""
    copies: dict[str, Any] = {
        name: deepcopy(getattr(backbone, name))
        for name in ("unet", "controlnet", "vae", "text_encoder", "text_encoder_2", "scheduler")
    }
    made = StableDiffusionXLControlNetPipeline(
        **copies,
        tokenizer=CLIPTokenizer.from_pretrained(backbone.folder / "tokenizer"),
        tokenizer_2=CLIPTokenizer.from_pretrained(backbone.folder / "tokenizer_2"),
        force_zeros_for_empty_prompt=False,
        add_watermarker=False,
    )
    made.set_progress_bar_config(disable=True)
    return made


def diffusers_sample(pipe: Any, backbone: Backbone, lq: Tensor, seed: int, embeds: Tensor, pooled: Tensor) -> Tensor:
    """Sample one face through diffusers' pipeline, from the noise that our loop would draw."""
    negative = backbone.class_prompt()
    noise = torch.randn(backbone.latent_shape, generator=torch.Generator().manual_seed(seed))[None]
    result = pipe(
        image=(lq + 1) / 2,
        latents=noise,
        num_inference_steps=3,
        guidance_scale=2.0,
        controlnet_conditioning_scale=0.7,
        height=backbone.resolution,
        width=backbone.resolution,
        output_type="pt",
        prompt_embeds=embeds,
        pooled_prompt_embeds=pooled,
        negative_prompt_embeds=negative.embeds,
        negative_pooled_prompt_embeds=negative.pooled,
    )
    return result.images * 2 - 1


@pytest.mark.parametrize("predicted", ["epsilon", "v_prediction"])
def test_agrees_with_diffusers(controlled: Backbone, alice: Adapter, lq: Tensor, predicted: str) -> None:
    """Without adapter and guidance, the loop is diffusers' SDXL ControlNet pipeline, whatever the UNet predicts."""
    scheduler = DDIMScheduler.from_config(controlled.scheduler.config, prediction_type=predicted)
    backbone = replace(controlled, scheduler=scheduler)
    options = replace(QUICK, start="noise", control_scale=0.7)
    ours = sample(backbone, lq[:1], [FaceCondition(5, alice.prompt)], options)
    theirs = diffusers_sample(pipeline(backbone), backbone, lq[:1], 5, alice.prompt.embeds, alice.prompt.pooled)
    torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=0)


def test_steps_begin_where_training_left_off(controlled: Backbone, alice: Adapter, lq: Tensor) -> None:
    """A bundle whose scheduler spaces its steps from the lower end restores as one that spaces them from the upper."""
    leading = DDIMScheduler.from_config(controlled.scheduler.config, timestep_spacing="leading", steps_offset=1)
    other = replace(controlled, scheduler=leading)
    faces = [sample(backbone, lq[:1], [known(alice)], QUICK) for backbone in (controlled, other)]
    assert torch.equal(*faces)


def test_exported_adapter_in_diffusers(controlled: Backbone, alice: Adapter, lq: Tensor, tmp_path: Path) -> None:
    """`load_lora_weights` and `load_textual_inversion` of the exported files sample the same picture."""
    export_diffusers(alice, tmp_path)
    options = replace(QUICK, start="noise", control_scale=0.7, base_negative=False)
    ours = sample(controlled, lq[:1], [known(alice, 5)], options)
    pipe = pipeline(controlled)
    pipe.load_lora_weights(tmp_path)
    vectors = load_file(tmp_path / "identity_embeddings.safetensors")
    encoders = (
        ("clip_l", pipe.text_encoder, pipe.tokenizer),
        ("clip_g", pipe.text_encoder_2, pipe.tokenizer_2),
    )
    for name, encoder, tokenizer in encoders:
        # CLIP's tokenizers lower their input's case, so the word for [V] has to be lower case.
        pipe.load_textual_inversion(vectors[name], token="<v>", text_encoder=encoder, tokenizer=tokenizer)
    embeds, _, pooled, _ = pipe.encode_prompt("a photo of a <v> face", do_classifier_free_guidance=False)
    torch.testing.assert_close(embeds, alice.prompt.embeds, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(pooled, alice.prompt.pooled, atol=1e-5, rtol=1e-5)
    theirs = diffusers_sample(pipe, controlled, lq[:1], 5, embeds, pooled)
    torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=0)
    plain = sample(controlled, lq[:1], [FaceCondition(5)], options)
    assert (plain - theirs).abs().max() > 100 * (ours - theirs).abs().max()


def test_a_seed_repeats(controlled: Backbone, alice: Adapter, lq: Tensor) -> None:
    """Equal shapes and seeds give equal bits, another seed another picture."""
    options = RestoreOptions(steps=3)
    first, again, other = (sample(controlled, lq[:1], [known(alice, seed)], options) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.min() >= -1
    assert first.max() <= 1


def test_neighbours_do_not_matter(controlled: Backbone, alice: Adapter, bob: Adapter, lq: Tensor) -> None:
    """A face comes out as it would alone, whoever else is in its batch."""
    options = RestoreOptions(steps=3, strength=1.0)
    faces = [known(alice, 3), known(bob, 9)]
    together = sample(controlled, lq, faces, options)
    for i, face in enumerate(faces):
        alone = sample(controlled, lq[i : i + 1], [face], options)
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-3, rtol=0)
    assert (together[0] - together[1]).abs().max() > 0.1


def test_nothing_is_left_behind(controlled: Backbone, alice: Adapter, lq: Tensor) -> None:
    """A restoration with an adapter leaves the base model's own, the scheduler and the gradients as they were."""
    base = [FaceCondition(3)]
    before = sample(controlled, lq[:1], base, QUICK)
    config, structure = dict(controlled.scheduler.__dict__), repr(controlled.unet)
    with_adapter = sample(controlled, lq[:1], [known(alice, 3)], RestoreOptions(steps=3))
    assert torch.equal(sample(controlled, lq[:1], base, QUICK), before)
    assert not torch.equal(with_adapter, before)
    assert repr(controlled.unet) == structure
    assert controlled.scheduler.__dict__.keys() == config.keys()
    assert controlled.scheduler.num_inference_steps is None


def test_one_adapter_for_two_faces(controlled: Backbone, alice: Adapter, lq: Tensor) -> None:
    """Two photos of one person share an adapter, a stranger beside them gets none."""
    faces = [known(alice, 3), FaceCondition(4), known(alice, 5)]
    options = replace(QUICK, start="noise")
    together = sample(controlled, lq[[0, 1, 0]], faces, options)
    alone = sample(controlled, lq[1:], [FaceCondition(4)], options)
    torch.testing.assert_close(together[1:2], alone, atol=1e-3, rtol=0)


def test_negative_on_the_base(controlled: Backbone, alice: Adapter, lq: Tensor) -> None:
    """The y* half without the adapter is not the y* half with it; at scale 1 there is no such half."""
    on, off = (sample(controlled, lq[:1], [known(alice)], replace(QUICK, base_negative=flag)) for flag in (True, False))
    assert not torch.equal(on, off)
    alone = replace(QUICK, cfg_scale=1.0)
    on, off = (sample(controlled, lq[:1], [known(alice)], replace(alone, base_negative=flag)) for flag in (True, False))
    assert torch.equal(on, off)


def test_cfg_interval(controlled: Backbone, alice: Adapter, lq: Tensor) -> None:
    """Outside its interval CFG is not computed: an empty one equals scale 1."""
    empty = sample(controlled, lq[:1], [known(alice)], replace(QUICK, cfg_interval=(0, 0)))
    one = sample(controlled, lq[:1], [known(alice)], replace(QUICK, cfg_scale=1.0))
    assert torch.equal(empty, one)


def test_start_and_control_matter(controlled: Backbone, lq: Tensor) -> None:
    """The noised LQ latent is another start than noise, and the ControlNet's strength is felt."""
    one, noise, weak = (
        sample(controlled, lq[:1], [FaceCondition(1)], options)
        for options in (QUICK, replace(QUICK, start="noise"), replace(QUICK, control_scale=0.1))
    )
    assert not torch.equal(one, noise)
    assert not torch.equal(one, weak)


def test_guidance_counts(controlled: Backbone, alice: Adapter, lq: Tensor) -> None:
    """Guidance changes the result until the target is so low that every face has reached it."""
    options = RestoreOptions(steps=3)
    without = sample(controlled, lq[:1], [known(alice)], QUICK)
    guided, content = (sample(controlled, lq[:1], [known(alice, target=x)], options) for x in (1.0, -1.0))
    assert not torch.equal(guided, without)
    assert torch.equal(content, without)
    set_by_hand = replace(options, guidance_target=-1.0)
    assert torch.equal(sample(controlled, lq[:1], [known(alice)], set_by_hand), without)


def test_progress_and_stop(controlled: Backbone, alice: Adapter, lq: Tensor) -> None:
    """Each step is reported; a stop is obeyed before the next one, and the UNet is left clean."""
    seen: list[tuple[int, int]] = []
    structure = repr(controlled.unet)
    sample(controlled, lq[:1], [known(alice)], QUICK, progress=lambda done, steps: seen.append((done, steps)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    seen.clear()
    with pytest.raises(Interrupted, match="1 of 3"):
        sample(
            controlled,
            lq[:1],
            [known(alice)],
            QUICK,
            progress=lambda done, steps: seen.append((done, steps)),
            should_stop=lambda: len(seen) == 1,
        )
    assert repr(controlled.unet) == structure


def test_wrong_number_of_conditions(controlled: Backbone, lq: Tensor) -> None:
    """Two faces and one condition is a mistake that is named."""
    with pytest.raises(ValueError, match="2 faces and 1 conditions"):
        sample(controlled, lq, [FaceCondition(1)], QUICK)


def test_gradients_are_off(controlled: Backbone, alice: Adapter, lq: Tensor) -> None:
    """The result carries no graph, and no network a gradient."""
    result = sample(controlled, lq[:1], [known(alice)], RestoreOptions(steps=2))
    modules: list[nn.Module] = [controlled.unet, controlled.controlnet, controlled.vae]
    assert not result.requires_grad
    assert all(p.grad is None for module in modules for p in module.parameters())
