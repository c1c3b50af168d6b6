"""Each speed lever by itself: a short training with everything on, and without that one thing."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from core.backbone import Backbone
from core.injector import inserted
from core.options import TrainOptions
from core.references import Reference
from core.tokens import PromptEmbeds
from core.training import _LEARNER, _Training  # its parts are what is switched off here
from lab.bench.clock import Took, interleaved


class _WholeClassPass(_Training):
    """Without the decoder-only prior loss: for y* the whole UNet runs with the injector too."""

    @property
    def _lora_in_encoder(self) -> bool:
        return True

    @property
    def _whole_unet_learns(self) -> bool:
        return self._tokens_learn


class _WholeBackward(_Training):
    """Without the decoder-only backward after the pivot."""

    @property
    def _whole_unet_learns(self) -> bool:
        return True


class _LatentsAnew(_Training):
    """Without cached latents: photos are encoded at every step."""

    @torch.no_grad()
    def _latents(self, which: Tensor, version: Tensor, generator: torch.Generator) -> Tensor:
        return self._backbone.encode(self._encoded.pictures[which, version], generator).float()


class _PromptsAnew(_Training):
    """Without cached embeds: prompts are encoded at every step, frozen tokens or not."""

    def _prompts(self, which: Tensor) -> PromptEmbeds:
        with torch.set_grad_enabled(self._tokens_learn):
            return self._encoded_prompts(which.tolist())


class _FullPrecision(_Training):
    """Without bf16 where the probe found that it pays."""

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._backbone.device.type, dtype=torch.bfloat16, enabled=False)


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
        "decoder-only backward after the pivot": _work(_WholeBackward, backbone, references, options),
        "cached latents": _work(_LatentsAnew, backbone, references, options),
        "cached prompts": _work(_PromptsAnew, backbone, references, options),
        "preview decoder": _work(_Training, without_preview, references, options),
        "probed precision": _work(_FullPrecision, backbone, references, options),
    }
    return interleaved(works, repeats)


def _work(
    kind: type[_Training], backbone: Backbone, references: list[Reference], options: TrainOptions
) -> Callable[[], None]:
    """Return the steps of a training, to be done again and again; what comes before them is done here."""
    training = kind(backbone, references, options, None)

    def work() -> None:
        training.step, training._frozen_prompts = 0, None
        with inserted(backbone.unet, {_LEARNER: training.lora}) as lora:
            while not training.finished:
                training.advance(lora)

    return work
