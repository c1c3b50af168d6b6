"""The noise predictions of a training step: for y, and for y* with the injector and without it.

Faster than written in the paper. The down and middle blocks carry no LoRA, so for y* they run once; and where nothing
before the decoder learns, y and y* go through them in one call, without a gradient.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from core.backbone import Backbone
from core.control import hint_given
from core.injector import BASE, Attached
from core.losses import as_noise
from core.options import Targets
from core.tokens import PromptEmbeds
from core.unet_split import Halfway, decode_half, encode_half

LEARNER = "learner"  # the name of the LoRA that is being trained


@dataclass(frozen=True)
class Noised:
    """A batch as the networks see it."""

    z_t: Tensor  # (B, C, h, w)
    t: Tensor  # (B,) timesteps
    y: PromptEmbeds  # B prompts
    seen: Tensor | None = None  # what the ControlNet's stem makes of the LQ faces; None: it is off


class NoisePredictions:
    """A backbone with one LoRA in training: batches in, noise predictions out, in fp32."""

    def __init__(self, backbone: Backbone, targets: Targets, *, prior: bool) -> None:
        """`prior`: the predictions for y* are wanted, too."""
        self._backbone, self._prior = backbone, prior
        self._lora_in_encoder = targets in ("all_cross", "all")

    def __call__(
        self, lora: Attached, batch: Noised, *, tokens_learn: bool
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Return eps_theta(y), eps_theta(y*) and eps_theta*(y*); the last two only where the prior loss counts."""
        batch, count, whole = self._placed(batch), len(batch.z_t), self._encoder_learns(tokens_learn)
        if not self._prior:
            lora.select([LEARNER] * count)
            with torch.set_grad_enabled(whole):
                halfway = self._encoded(batch)
            return self._noise(halfway, batch), None, None
        halfway, base_halfway = self._encoded_both(lora, batch, whole)
        lora.select([BASE] * count)
        with torch.no_grad():
            base_pred = self._noise(base_halfway, batch)
        lora.select([LEARNER] * count)
        # Without LoRA in the encoder, theta and theta* agree that far: the paper's injector needs it run only once.
        class_halfway = self._encoded(self._of_class(batch)) if self._lora_in_encoder else base_halfway
        lora.select([LEARNER] * 2 * count)
        both = decode_half(self._backbone.unet, Halfway.cat([halfway, class_halfway]))
        noise_pred, class_pred = (as_noise(self._backbone.scheduler, o, batch.z_t, batch.t) for o in both.chunk(2))
        return noise_pred, class_pred, base_pred

    def of_y(self, lora: Attached, batch: Noised) -> Tensor:
        """Return eps_theta(y) alone."""
        batch = self._placed(batch)
        lora.select([LEARNER] * len(batch.z_t))
        return self._noise(self._encoded(batch), batch)

    def _encoder_learns(self, tokens_learn: bool) -> bool:
        """Say whether anything before the decoder has a gradient."""
        return tokens_learn or self._lora_in_encoder

    def _placed(self, batch: Noised) -> Noised:
        return replace(batch, y=batch.y.to(self._backbone.device, self._backbone.dtype))

    def _encoded_both(self, lora: Attached, batch: Noised, whole: bool) -> tuple[Halfway, Halfway]:
        """Return what the decoder needs for y, and for y* without the injector.

        By one call where nothing before the decoder learns: no LoRA lies there then, and none need be selected.
        """
        plain = self._of_class(batch)
        if whole:
            lora.select([LEARNER] * len(batch.z_t))
            halfway = self._encoded(batch)
            lora.select([BASE] * len(batch.z_t))
            with torch.no_grad():
                return halfway, self._encoded(plain)
        seen = None if batch.seen is None else torch.cat([batch.seen, batch.seen])
        twice = Noised(
            torch.cat([batch.z_t, batch.z_t]), torch.cat([batch.t, batch.t]), PromptEmbeds.cat([batch.y, plain.y]), seen
        )
        with torch.no_grad():
            return self._encoded(twice).halves()

    def _of_class(self, batch: Noised) -> Noised:
        return replace(batch, y=self._backbone.class_prompt().expand(len(batch.z_t)))

    def _encoded(self, batch: Noised) -> Halfway:
        backbone = self._backbone
        z_t, y = batch.z_t.to(backbone.dtype), batch.y
        added = backbone.added_conditions(y)
        residuals = None
        if batch.seen is not None:
            with hint_given(backbone.controlnet, batch.seen):
                residuals = backbone.controlnet(
                    z_t, batch.t, y.embeds, batch.seen, added_cond_kwargs=added, return_dict=False
                )
        return encode_half(backbone.unet, z_t, batch.t, y, added, residuals)

    def _noise(self, halfway: Halfway, batch: Noised) -> Tensor:
        return as_noise(self._backbone.scheduler, decode_half(self._backbone.unet, halfway), batch.z_t, batch.t)
