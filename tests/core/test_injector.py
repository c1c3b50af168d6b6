"""Tests of the injector: its size, its coming and going, several people in one batch."""

import gc
import json
import weakref
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from core.backbone import Backbone
from core.injector import BASE, Adapter, attached, lora_parameter_count, lora_shapes, new_lora, target_modules
from core.options import Targets

SDXL = Path(__file__).parents[2] / "bundles" / "sdxl-shape" / "unet" / "config.json"


@pytest.fixture(scope="module")
def sdxl() -> UNet2DConditionModel:
    """SDXL's UNet in shapes only."""
    with torch.device("meta"):
        return UNet2DConditionModel.from_config(json.loads(SDXL.read_text()))


def anatomy(unet: UNet2DConditionModel) -> list[tuple[str, str, int, bool]]:
    """Return every module with its class, its hooks and whether it is training."""
    return [(n, type(m).__name__, len(m._forward_pre_hooks), m.training) for n, m in unet.named_modules()]


def predict(backbone: Backbone, z: Tensor) -> Tensor:
    """Return the UNet's noise prediction for y*."""
    prompt = backbone.class_prompt().expand(len(z))
    with torch.no_grad():
        return backbone.unet(z, 300, prompt.embeds, added_cond_kwargs=backbone.added_conditions(prompt)).sample


def test_nothing_lingers(backbone: Backbone, alice: Adapter) -> None:
    """What a person's layers were made of is gone with them, without waiting for a garbage collection."""
    gc.collect()
    gc.disable()
    try:
        with attached(backbone.unet, {"alice": alice}) as lora:
            layer = backbone.unet.get_submodule(target_modules(backbone.unet)[0])
            weights = weakref.ref(layer.lora_A["alice"].weight)
            lora.select(["alice"])
            del layer
        assert weights() is None
    finally:
        gc.enable()


def latents(backbone: Backbone, count: int) -> Tensor:
    """Return random latents."""
    return torch.randn(count, *backbone.latent_shape, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize(
    ("targets", "count"),
    [("decoder_cross", 6_414_336), ("all_cross", 12_574_720), ("decoder_all", 11_821_056), ("all", 23_224_320)],
)
def test_parameter_counts_on_sdxl(sdxl: UNet2DConditionModel, targets: Targets, count: int) -> None:
    """The paper's 6.41 million, and the three other sets of its Table 2."""
    assert lora_parameter_count(sdxl, targets) == count


def test_the_papers_targets_are_the_decoders_cross_attention(sdxl: UNet2DConditionModel) -> None:
    """36 decoder blocks of four projections, none of them outside the decoder or in self-attention."""
    names = target_modules(sdxl)
    assert len(names) == 36 * 4
    assert all(name.startswith("up_blocks.") and ".attn2." in name for name in names)


def test_fresh_lora_changes_nothing(backbone: Backbone, alice: Adapter) -> None:
    """B starts at zero, so a fresh injector is the base model."""
    z = latents(backbone, 1)
    fresh = new_lora(backbone.unet, "decoder_cross", 16, torch.Generator().manual_seed(0))
    blank = Adapter(
        dict(fresh), alice.prompt, alice.identity, alice.references, alice.second_references, alice.metadata
    )
    base = predict(backbone, z)
    with attached(backbone.unet, {"blank": blank}) as lora:
        lora.select(["blank"])
        assert torch.equal(predict(backbone, z), base)


def test_detached_unet_is_the_same_to_the_bit(backbone: Backbone, alice: Adapter) -> None:
    """Adapter on changes the prediction; adapter off leaves structure, weights and output as they were."""
    z = latents(backbone, 2)
    before, structure = predict(backbone, z), anatomy(backbone.unet)
    weights = {name: value.clone() for name, value in backbone.unet.state_dict().items()}
    with attached(backbone.unet, {"alice": alice}) as lora:
        lora.select(["alice", "alice"])
        on = predict(backbone, z)
    assert (on - before).abs().max() > 1e-3
    assert torch.equal(predict(backbone, z), before)
    assert anatomy(backbone.unet) == structure
    assert all(torch.equal(value, weights[name]) for name, value in backbone.unet.state_dict().items())
    assert list(backbone.unet.state_dict()) == list(weights)
    assert not any(p.requires_grad for p in backbone.unet.parameters())


def test_detached_after_an_error(backbone: Backbone, alice: Adapter) -> None:
    """An exception inside leaves the UNet as it was."""
    structure = anatomy(backbone.unet)
    with pytest.raises(KeyError), attached(backbone.unet, {"alice": alice}):
        raise KeyError("in the middle")
    assert anatomy(backbone.unet) == structure


def test_detached_when_attaching_fails(backbone: Backbone, alice: Adapter) -> None:
    """Adapters of which one cannot be attached leave no trace of the other."""
    structure = anatomy(backbone.unet)
    lora = dict(alice.lora)
    lora.pop(next(name for name in lora if "lora_B" in name))
    broken = Adapter(lora, alice.prompt, alice.identity, alice.references, alice.second_references, {})
    with pytest.raises(KeyError), attached(backbone.unet, {"alice": alice, "broken": broken}):
        pass
    assert anatomy(backbone.unet) == structure


def test_paused_unet_is_free(backbone: Backbone, alice: Adapter, bob: Adapter) -> None:
    """Between two steps the base model is itself, and another adapter may come and go."""
    z = latents(backbone, 1)
    base = predict(backbone, z)
    with attached(backbone.unet, {"alice": alice}) as lora:
        lora.select(["alice"])
        on = predict(backbone, z)
        with lora.paused():
            assert torch.equal(predict(backbone, z), base)
            with attached(backbone.unet, {"bob": bob}) as other:
                other.select(["bob"])
                assert not torch.equal(predict(backbone, z), base)
        assert torch.equal(predict(backbone, z), on)


def test_attaching_twice_is_a_bug(backbone: Backbone, alice: Adapter, bob: Adapter) -> None:
    """A LoRA over a LoRA is refused: the outer one would outlive the inner."""
    with (
        attached(backbone.unet, {"alice": alice}),
        pytest.raises(AssertionError, match="still in it"),
        attached(backbone.unet, {"bob": bob}),
    ):
        pass


def test_nobody_is_chosen_by_accident(backbone: Backbone, alice: Adapter) -> None:
    """Until somebody selects, the UNet does not run at all; nor may a name be selected that is not there."""
    with attached(backbone.unet, {"alice": alice}) as lora:
        with pytest.raises(AssertionError, match="select"):
            predict(backbone, latents(backbone, 1))
        with pytest.raises(AssertionError, match="bob"):
            lora.select(["bob"])


@pytest.mark.parametrize("order", [["bob", BASE, "alice"], ["bob", "alice"]])
def test_two_people_in_one_batch(backbone: Backbone, alice: Adapter, bob: Adapter, order: list[str]) -> None:
    """A mixed batch gives each what it gets alone; the wrong adapter would move it a hundred times further."""
    z = latents(backbone, 1).expand(len(order), -1, -1, -1)
    alone = {}
    for name, adapter in (("alice", alice), ("bob", bob)):
        with attached(backbone.unet, {name: adapter}) as lora:
            lora.select([name])
            alone[name] = predict(backbone, z[:1])
    alone[BASE] = predict(backbone, z[:1])
    with attached(backbone.unet, {"alice": alice, "bob": bob}) as lora:
        lora.select(order)
        together = predict(backbone, z)
    error = max((together[i] - alone[name][0]).abs().max().item() for i, name in enumerate(order))
    swapped = (alone["alice"] - alone["bob"]).abs().max().item()
    assert error <= 1e-4
    assert swapped >= 100 * error
    assert swapped > 1e-2


def test_adapters_of_different_targets_in_one_batch(backbone: Backbone, alice: Adapter) -> None:
    """An adapter on more layers leaves a narrower one alone."""
    generator = torch.Generator().manual_seed(9)
    shapes = lora_shapes(backbone.unet, "all", 4)
    wide = {name: torch.randn(shape, generator=generator) * 0.2 for name, shape in shapes.items()}
    other = Adapter(wide, alice.prompt, alice.identity, alice.references, alice.second_references, {})
    z = latents(backbone, 1).expand(2, -1, -1, -1)
    with attached(backbone.unet, {"alice": alice}) as lora:
        lora.select(["alice"])
        alone = predict(backbone, z[:1])
    with attached(backbone.unet, {"wide": other, "alice": alice}) as lora:
        lora.select(["alice", "wide"])
        together = predict(backbone, z)
    torch.testing.assert_close(together[:1], alone, atol=1e-4, rtol=0)
    assert (together[1] - together[0]).abs().max() > 1e-2
