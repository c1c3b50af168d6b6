"""Tests of a training: what learns, what does not, and that a stopped one goes on as if it had never stopped."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from core.adapter_file import pack_adapter, unpack_adapter
from core.backbone import Backbone
from core.errors import InvalidOption, NotFinite, NoUsableReference
from core.injector import Adapter, lora_shapes
from core.options import Targets, TrainOptions
from core.quality import Quality
from core.references import Reference
from core.tokens import encode_prompt, project_identity
from core.train_state import TrainState, fingerprint, settled
from core.training import TrainingInterrupted, TrainProgress, train_injector

SHORT = TrainOptions(steps=6, batch_size=2, pivot=0.5, checkpoint_every=1)


def trained(
    backbone: Backbone, references: list[Reference], options: TrainOptions = SHORT
) -> tuple[Adapter, list[TrainProgress], list[TrainState]]:
    """Train and return the adapter, what was reported and every checkpoint."""
    reports: list[TrainProgress] = []
    states: list[TrainState] = []
    adapter = train_injector(backbone, references, options, progress=reports.append, keep=states.append)
    return adapter, reports, states


@pytest.fixture(scope="module")
def whole(backbone: Backbone, references: list[Reference]) -> tuple[Adapter, list[TrainProgress], list[TrainState]]:
    """A short training that was never stopped."""
    return trained(backbone, references)


def changes(states: list[TrainState], name: str) -> list[bool]:
    """Return for each step after the first whether a parameter moved."""
    values = [state.tensors[f"parameter/{name}"] for state in states]
    return [not torch.equal(a, b) for a, b in zip(values[:-1], values[1:], strict=True)]


def same(a: Adapter, b: Adapter) -> bool:
    """Say whether two adapters are equal to the bit, file and all."""
    return pack_adapter(a) == pack_adapter(b)


def test_nothing_else_learns(backbone: Backbone, references: list[Reference]) -> None:
    """Gradients reach LoRA, [V] and Q_i only: every network of the bundle stays as it is, without gradients."""
    modules = {
        name: getattr(backbone, name)
        for name in ("unet", "controlnet", "vae", "preview_decoder", "text_encoder", "text_encoder_2", "recognizer")
    } | {"identity_projection": backbone.identity_projection}
    before = {f"{part}.{name}": value.clone() for part, m in modules.items() for name, value in m.state_dict().items()}
    trained(backbone, references, replace(SHORT, identity_every=1, control=True))
    after = {f"{part}.{name}": value for part, m in modules.items() for name, value in m.state_dict().items()}
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert all(p.grad is None and not p.requires_grad for m in modules.values() for p in m.parameters())


def test_what_learns_and_when(
    whole: tuple[Adapter, list[TrainProgress], list[TrainState]], references: list[Reference]
) -> None:
    """LoRA moves at every step; [V] and the Q_i before the pivot only."""
    _, _, states = whole
    names = {name.removeprefix("parameter/") for name in states[0].tensors if name.startswith("parameter/")}
    tokens = {"identity.first", "identity.second"}
    tokens |= {f"quality{i}.{side}" for i in range(len(references)) for side in ("first", "second")}
    assert tokens <= names
    for name in names - tokens:
        assert all(changes(states, name)), name
    for name in ("identity.first", "identity.second"):
        assert changes(states, name) == [True, True, False, False, False]
    assert all(not any(changes(states, name)[2:]) for name in tokens)
    assert any(changes(states, "quality0.first")[:2] + changes(states, "quality1.first")[:2])


def test_without_quality_tokens(backbone: Backbone, references: list[Reference]) -> None:
    """The ablation without Q_i learns LoRA and [V] only, to another result."""
    plain = replace(SHORT, quality_tokens=False)
    adapter, _, states = trained(backbone, references, plain)
    assert not any("quality" in name for name in states[0].tensors)
    assert changes(states, "identity.first") == [True, True, False, False, False]
    assert same(train_injector(backbone, references, plain, resume=states[1]), adapter)


def test_identity_starts_from_the_projection(backbone: Backbone, references: list[Reference]) -> None:
    """With a vanishing learning rate, [V] is what the projection makes of the quality-weighted mean embedding."""
    one = references[:1]
    adapter, *_ = trained(backbone, one, replace(SHORT, steps=1, token_learning_rate=1e-7))
    wanted = project_identity(backbone, adapter.references[0])
    torch.testing.assert_close(adapter.identity.first, wanted.first, atol=1e-6, rtol=0)
    torch.testing.assert_close(adapter.identity.second, wanted.second, atol=1e-6, rtol=0)


def test_tokens_learn_at_the_bundles_rate(backbone: Backbone, references: list[Reference]) -> None:
    """Unless an option says otherwise, a bundle says how far a step moves [V]: the first by a tenth of it."""
    one_step = replace(SHORT, steps=1, pivot=1.0)
    at_rest = project_identity(backbone, trained(backbone, references[:1], one_step)[0].references[0])
    for rate in (1e-2, 1e-3):
        told = replace(backbone, manifest=backbone.manifest | {"training": {"token_learning_rate": rate}})
        adapter, *_ = trained(told, references[:1], one_step)
        moved = (adapter.identity.first - at_rest.first).abs().max()
        assert float(moved) == pytest.approx(rate / 10, rel=0.02)  # Adam's first step, in the warm-up
        assert adapter.metadata["options"]["token_learning_rate"] == rate
    insisting = replace(one_step, token_learning_rate=1e-4)
    adapter, *_ = trained(told, references[:1], insisting)
    assert float((adapter.identity.first - at_rest.first).abs().max()) == pytest.approx(1e-5, rel=0.02)


def test_another_rate_is_another_training(backbone: Backbone, references: list[Reference]) -> None:
    """A checkpoint of a bundle that told another rate is not gone on from."""
    told = replace(backbone, manifest=backbone.manifest | {"training": {"token_learning_rate": 1e-3}})
    *_, states = trained(backbone, references, SHORT)
    with pytest.raises(InvalidOption, match="of this very training"):
        train_injector(told, references, SHORT, resume=states[0])


def test_identity_starts_from_a_word_without_a_projection(backbone: Backbone, references: list[Reference]) -> None:
    """A bundle without identity projection trains as well."""
    adapter, *_ = trained(replace(backbone, identity_projection=None), references, replace(SHORT, steps=1))
    assert torch.isfinite(adapter.identity.first).all()


def test_the_prior_is_zero_at_first(whole: tuple[Adapter, list[TrainProgress], list[TrainState]]) -> None:
    """Eq. 4 starts at zero, since theta = theta*, and is felt once the injector has moved."""
    _, reports, _ = whole
    assert reports[0].parts["prior"] == 0.0
    assert reports[-1].parts["prior"] > 0.0


@pytest.mark.parametrize("changes", [{"literal_prior_norm": True}, {"lambda_prior": 0.0}, {"schedule": "constant"}])
def test_loss_options(backbone: Backbone, references: list[Reference], changes: dict[str, object]) -> None:
    """The literal norm survives its first step; without its weight the prior is not computed."""
    _, reports, _ = trained(backbone, references, TrainOptions.from_dict(SHORT.as_dict() | {"steps": 2} | changes))
    assert all(torch.isfinite(torch.tensor(report.loss)) for report in reports)
    assert ("prior" in reports[0].parts) == ("lambda_prior" not in changes)


def test_identity_loss_is_taken_now_and_then(backbone: Backbone, references: list[Reference]) -> None:
    """The identity term appears on every n-th step, and never at weight 0."""
    _, reports, _ = trained(backbone, references, replace(SHORT, steps=4, identity_every=3))
    assert ["identity" in report.parts for report in reports] == [True, False, False, True]
    _, reports, _ = trained(backbone, references, replace(SHORT, steps=2, identity_weight=0.0))
    assert not any("identity" in report.parts for report in reports)


@pytest.mark.parametrize("targets", ["all_cross", "decoder_all", "all"])
def test_other_targets_train(backbone: Backbone, references: list[Reference], targets: Targets) -> None:
    """The ablation's target sets learn on all their layers, encoder included, after the pivot too."""
    options = replace(SHORT, steps=4, targets=targets, rank=2)
    adapter, reports, states = trained(backbone, references, options)
    assert set(adapter.lora) == set(lora_shapes(backbone.unet, targets, 2))
    assert reports[0].parts["prior"] == 0.0
    for name in adapter.lora:
        assert all(changes(states, name)), name


def test_a_seed_repeats(
    backbone: Backbone, references: list[Reference], whole: tuple[Adapter, list[TrainProgress], list[TrainState]]
) -> None:
    """The same seed gives the same file to the bit, whatever the global generator did; another seed does not."""
    torch.manual_seed(1234)
    again, *_ = trained(backbone, references)
    assert same(again, whole[0])
    other, *_ = trained(backbone, references, replace(SHORT, seed=1))
    assert not any(torch.equal(other.lora[name], whole[0].lora[name]) for name in other.lora)


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_killed_and_resumed(
    backbone: Backbone,
    references: list[Reference],
    whole: tuple[Adapter, list[TrainProgress], list[TrainState]],
    stop: int,
    tmp_path: Path,
) -> None:
    """A training killed before, at or after the pivot and resumed from its file equals one that was not."""
    state = whole[2][stop - 1]
    save_file(state.tensors, tmp_path / "state.safetensors", metadata=state.metadata())
    with safe_open(tmp_path / "state.safetensors", framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (not a dict)
        kept = TrainState.from_parts(tensors, file.metadata())
    steps: list[int] = []
    resumed = train_injector(
        backbone, references, SHORT, resume=kept, progress=lambda report: steps.append(report.step)
    )
    assert steps == list(range(stop + 1, SHORT.steps + 1))
    assert same(resumed, whole[0])


def test_resumed_with_early_stop(backbone: Backbone, references: list[Reference]) -> None:
    """The best parameters so far and the held-out ID survive a resume."""
    options = replace(SHORT, early_stop=100, evaluate_every=2)
    adapter, reports, states = trained(backbone, references, options)
    assert [r.held_out_identity is None for r in reports] == [True, False, False, False, False, False]
    resumed = train_injector(backbone, references, options, resume=states[3])
    assert same(resumed, adapter)


def test_stopped_on_request(
    backbone: Backbone, references: list[Reference], whole: tuple[Adapter, list[TrainProgress], list[TrainState]]
) -> None:
    """A stop is obeyed before the next step, hands over the state, and leaves the UNet clean."""
    structure, asked = repr(backbone.unet), []

    def stop() -> bool:
        asked.append(True)
        return len(asked) == 3

    with pytest.raises(TrainingInterrupted, match="2 of 6") as stopped:
        train_injector(backbone, references, SHORT, should_stop=stop)
    assert repr(backbone.unet) == structure
    assert stopped.value.state.step == 2
    assert same(train_injector(backbone, references, SHORT, resume=stopped.value.state), whole[0])


def test_resume_of_another_training(
    backbone: Backbone, references: list[Reference], whole: tuple[Adapter, list[TrainProgress], list[TrainState]]
) -> None:
    """A checkpoint of other options or other photos is refused."""
    with pytest.raises(InvalidOption, match="start anew"):
        train_injector(backbone, references, replace(SHORT, seed=5), resume=whole[2][0])
    with pytest.raises(InvalidOption, match="start anew"):
        train_injector(backbone, references[:2], SHORT, resume=whole[2][0])


def test_the_unet_is_free_between_steps(backbone: Backbone, references: list[Reference]) -> None:
    """Whoever is called back between two steps finds the base model."""
    structure, seen = repr(backbone.unet), []

    def look(_: object) -> None:
        seen.append(repr(backbone.unet) == structure)

    def go_on() -> bool:
        look(None)
        return False

    train_injector(backbone, references, replace(SHORT, steps=2), progress=look, should_stop=go_on, keep=look)
    assert seen == [True] * 6


def test_early_stop(backbone: Backbone, references: list[Reference]) -> None:
    """A training whose held-out ID does not rise ends early and keeps the best step; the report says so."""
    options = replace(SHORT, steps=40, evaluate_every=1, early_stop=2, learning_rate=0.5, schedule="constant")
    adapter, reports, _ = trained(backbone, references, options)
    training = adapter.metadata["training"]
    assert len(reports) < 40
    assert training["steps"] == len(reports) == training["kept_step"] + 2
    identities = [r.held_out_identity for r in reports if r.held_out_identity is not None]
    assert training["held_out_identity"] == max(identities) == identities[training["kept_step"] - 1]
    assert [report["held_out"] for report in adapter.metadata["quality_report"]] == [False, True, False]


def test_one_reference_is_enough(backbone: Backbone, references: list[Reference]) -> None:
    """With a single reference there is none to keep out, and the training goes to its end."""
    adapter, reports, _ = trained(backbone, references[:1], replace(SHORT, early_stop=1, evaluate_every=1))
    assert len(reports) == SHORT.steps
    assert adapter.references.shape[0] == 1
    assert all(report.held_out_identity is None for report in reports)


def test_no_reference(backbone: Backbone) -> None:
    """Without references nothing starts."""
    with pytest.raises(NoUsableReference):
        train_injector(backbone, [], SHORT)


def test_a_loss_that_is_no_number(backbone: Backbone, references: list[Reference]) -> None:
    """A training that has diverged is an error, not an adapter."""
    broken = [Reference(torch.full_like(references[0].crop, float("nan")), Quality(0.9, ("sharp",)))]
    with pytest.raises(NotFinite, match="finite"):
        train_injector(backbone, broken, SHORT)


def test_a_gradient_that_is_no_number(
    backbone: Backbone, references: list[Reference], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is one whose last step would have ruined its weights."""
    monkeypatch.setattr("torch.nn.utils.clip_grad_norm_", lambda *_: torch.tensor(float("nan")))
    with pytest.raises(NotFinite, match="the gradient of step 0"):
        train_injector(backbone, references, SHORT)


def test_how_often_a_training_is_kept_may_change(backbone: Backbone, references: list[Reference]) -> None:
    """A checkpoint fits the same training kept at another rate."""
    often, seldom = (fingerprint(backbone, references, replace(SHORT, checkpoint_every=n)) for n in (1, 50))
    assert often == seldom != fingerprint(backbone, references, replace(SHORT, seed=SHORT.seed + 1))


def test_the_adapter_is_what_its_file_gives(
    backbone: Backbone,
    references: list[Reference],
    whole: tuple[Adapter, list[TrainProgress], list[TrainState]],
) -> None:
    """A fresh adapter equals the one read back, its prompt is that of its [V], and it reports its references."""
    adapter = whole[0]
    read = unpack_adapter(pack_adapter(adapter), backbone)
    assert same(read, adapter)
    with torch.no_grad():
        prompt = encode_prompt(backbone, read.identity)
    assert torch.equal(prompt.embeds, adapter.prompt.embeds)
    assert torch.equal(prompt.pooled, adapter.prompt.pooled)
    assert [report["score"] for report in adapter.metadata["quality_report"]] == [0.9, 0.8, 0.2]
    assert adapter.metadata["options"] == settled(SHORT, backbone).as_dict()
    assert len(adapter.references) == len(references)


def test_learning_lowers_the_loss(backbone: Backbone, references: list[Reference]) -> None:
    """On one photo, a few dozen steps bring the denoising loss down at noise levels drawn alike."""
    options = replace(SHORT, steps=40, batch_size=4, identity_weight=0.0, lambda_prior=0.0, learning_rate=1e-2)
    _, reports, _ = trained(backbone, references[:1], options)
    losses = torch.tensor([report.loss for report in reports])
    assert losses[-10:].mean() < losses[:10].mean()
