"""Each speed lever by itself: a short training with everything on, and without that one thing."""

from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace
from functools import cached_property
from unittest.mock import patch

import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from torch import Tensor

from core.backbone import Backbone
from core.frozen_weights import FrozenWeights
from core.injector import Attached, inserted
from core.options import Targets, TrainOptions
from core.predictions import LEARNER, Noised, NoisePredictions
from core.references import Reference
from core.tokens import PromptEmbeds
from core.training import _Training  # its parts are what is switched off here
from core.training_batch import Batch
from core.unet_split import Halfway
from lab.bench.clock import Took, interleaved
from lab.bench.contiguous import contiguous


class _WholeClassPasses(NoisePredictions):
    """For y* the whole UNet runs with the injector too."""

    def __init__(self, backbone: Backbone, targets: Targets, *, prior: bool) -> None:
        super().__init__(backbone, targets, prior=prior)
        self._lora_in_encoder = True

    def _encoder_learns(self, tokens_learn: bool) -> bool:
        return tokens_learn


class _WholeClassPass(_Training):
    """Without the decoder-only prior loss."""

    predictions_of = _WholeClassPasses


class _LatentsAnew(_Training):
    """Without cached latents: photos are encoded at every step."""

    @torch.no_grad()
    def _batch(self, generator: torch.Generator) -> Batch:
        batch = super()._batch(generator)
        self._backbone.encode(self._encoded.pictures[batch.which, batch.version], generator)
        return batch


class _PromptsAnew(_Training):
    """Without cached embeds: prompts are encoded at every step, frozen tokens or not."""

    def _prompts(self, which: Tensor) -> PromptEmbeds:
        with torch.set_grad_enabled(self._tokens_learn):
            return self._tokens.prompts(which.tolist())


class _StemsAnew(NoisePredictions):
    """The ControlNet's stem looks at the faces in every call."""

    def _encoded(self, batch: Noised) -> Halfway:
        with patch("core.predictions.hint_given", lambda *_: nullcontext()):
            return super()._encoded(batch)


class _StemAnew(_Training):
    """Without what the ControlNet's stem made."""

    predictions_of = _StemsAnew

    @property
    def _stem_outputs(self) -> Tensor | None:
        twins = self._encoded.degraded
        return None if twins is None else twins.hints


class _Apart(NoisePredictions):
    """The encoder is called for y and for y*."""

    def _encoded_both(self, _lora: Attached, batch: Noised, whole: bool) -> tuple[Halfway, Halfway]:
        with torch.set_grad_enabled(whole):
            halfway = self._encoded(batch)
        with torch.no_grad():
            return halfway, self._encoded(self._of_class(batch))


class _EncodedApart(_Training):
    """Without one call of the encoder for y and y* after the pivot."""

    predictions_of = _Apart


class _FullPrecision(_Training):
    """Without bf16 where the probe found that it pays."""

    @property
    def _half_pays(self) -> bool:
        return False


class _CastAtEveryUse(_Training):
    """Without a half-precision copy of the frozen weights."""

    @cached_property
    def _frozen(self) -> FrozenWeights:
        return FrozenWeights([], torch.bfloat16)


def steps_of_training(backbone: Backbone, references: list[Reference], options: TrainOptions) -> Callable[[], None]:
    """Return the steps of the product's own training."""
    return _work(_Training, backbone, references, options)


def training_levers(
    backbone: Backbone, references: list[Reference], options: TrainOptions, repeats: int
) -> dict[str, Took]:
    """Return what a short training takes with all levers on (`all`), and without each; both sides of the pivot."""
    without_preview = replace(backbone, preview_decoder=None)
    works: dict[str, Callable[[], object]] = {
        "all": steps_of_training(backbone, references, options),
        "decoder-only prior loss": _work(_WholeClassPass, backbone, references, options),
        "tokens frozen, backward in the decoder alone, from the pivot on": _work(
            _Training, backbone, references, replace(options, pivot=1.0)
        ),
        "cached latents": _work(_LatentsAnew, backbone, references, options),
        "the ControlNet's stem kept": _work(_StemAnew, backbone, references, options),
        "y and y* through the encoder in one call": _work(_EncodedApart, backbone, references, options),
        "cached prompts": _work(_PromptsAnew, backbone, references, options),
        "preview decoder": _work(_Training, without_preview, references, options),
        "frozen weights cast once": _work(_CastAtEveryUse, backbone, references, options),
        "probed precision": _work(_FullPrecision, backbone, references, options),
        "decoders and recognizer channels-last": _work(_Training, contiguous(backbone), references, options),
        "plain attention for few tokens": _work(_Training, _fused(backbone), references, options),
    }
    return interleaved(works, repeats)


def _fused(backbone: Backbone) -> Backbone:
    """Return the backbone with torch's fused attention throughout."""
    unet = deepcopy(backbone.unet)
    unet.set_attn_processor(AttnProcessor2_0())
    return replace(backbone, unet=unet)


def _work(
    kind: type[_Training], backbone: Backbone, references: list[Reference], options: TrainOptions
) -> Callable[[], None]:
    """Return the steps of a training, to be done again and again; what comes before them is done here."""
    training = kind(backbone, references, options, None)

    def work() -> None:
        training.step, training._frozen_prompts = 0, None
        with inserted(backbone.unet, {LEARNER: training.lora}) as lora:
            while not training.finished:
                training.advance(lora)

    return work
