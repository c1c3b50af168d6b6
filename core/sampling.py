"""The denoising loop: LQ faces in, restored faces out, batched over faces and over adapters.

Classifier-free guidance runs between y (with [V]) and y* (without): a pure identity direction. The ControlNet sees the
LQ face; the scheduler owns the step; eq. 7 bends the noise prediction towards the references.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from core.backbone import Backbone
from core.control import hint_kept
from core.errors import Interrupted
from core.guidance import IdentityTarget, acts_at, guided_noise
from core.injector import BASE, Adapter, Attached, attached
from core.losses import as_noise, noised
from core.options import RestoreOptions
from core.tokens import PromptEmbeds


@dataclass(frozen=True)
class FaceCondition:
    """Who one face of a batch is to become."""

    seed: int  # of this face's noise, whatever else is in the batch
    prompt: PromptEmbeds | None = None  # y: an adapter's own, or a projected one; None: y*
    adapter: Adapter | None = None  # None: the base model
    reference: Tensor | None = None  # f_face(x_ref), unit, (D,); None: no guidance for this face
    target: float = 1.0  # cosine to the reference at which guidance leaves the face alone


@torch.no_grad()
def sample(
    backbone: Backbone,
    lq: Tensor,
    conditions: Sequence[FaceCondition],
    options: RestoreOptions,
    *,
    progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Tensor:
    """Restore lq (B, 3, S, S) in [-1, 1] into (B, 3, S, S) in [-1, 1]; Interrupted once `should_stop` says so.

    `progress` is called with (steps done, steps) after each step.
    """
    if len(lq) != len(conditions):
        raise ValueError(f"got {len(lq)} faces and {len(conditions)} conditions, wanted one for each face")
    # 1. a scheduler of our own: the bundle's is shared, and may space its steps so that few begin far too low
    scheduler = DDIMScheduler.from_config(
        backbone.scheduler.config, prediction_type="epsilon", timestep_spacing="trailing"
    )
    scheduler.set_timesteps(options.schedule_steps)
    scheduler.timesteps = scheduler.timesteps[-options.steps :]
    lq = lq.to(backbone.device, backbone.dtype)
    z_t = _start(backbone, scheduler, lq, conditions, options)
    target = _identity_target(backbone, conditions, options)
    # 2. everybody's adapter in the UNet, for as long as the loop runs
    names = _adapter_names(conditions)
    adapters = {name: c.adapter for name, c in zip(names, conditions, strict=True) if c.adapter is not None}
    with attached(backbone.unet, adapters) as lora, hint_kept(backbone.controlnet):
        denoiser = _Denoiser(backbone, lora, names, (lq + 1) / 2, conditions, options)
        # 3. denoise
        for step, t in enumerate(scheduler.timesteps.tolist()):
            if should_stop is not None and should_stop():
                raise Interrupted(f"stopped after {step} of {options.steps} sampling steps")
            noise_pred = denoiser(z_t, t)
            if target is not None and acts_at(options, step, t):
                noise_pred = guided_noise(backbone, z_t, noise_pred, t, target, options)
            z_t = scheduler.step(noise_pred, t, z_t).prev_sample
            if progress is not None:
                progress(step + 1, options.steps)
    # 4. to pixels
    return backbone.decode(z_t.to(backbone.dtype)).float().clamp(-1, 1)


def _start(
    backbone: Backbone,
    scheduler: DDIMScheduler,
    lq: Tensor,
    conditions: Sequence[FaceCondition],
    options: RestoreOptions,
) -> Tensor:
    """Return z_T in fp32: noise of each face's own seed, over the LQ latent or alone."""
    drawn = [torch.randn(backbone.latent_shape, generator=torch.Generator().manual_seed(c.seed)) for c in conditions]
    noise = torch.stack(drawn).to(backbone.device)
    if options.start == "noise":
        return noise * scheduler.init_noise_sigma
    t = scheduler.timesteps[:1].to(backbone.device).expand(len(lq))
    return noised(scheduler, backbone.encode(lq).float(), noise, t)


def _adapter_names(conditions: Sequence[FaceCondition]) -> list[str]:
    """Return a name for each face's adapter: one adapter that serves several faces has one name."""
    distinct: list[Adapter] = []
    names = []
    for condition in conditions:
        if condition.adapter is None:
            names.append(BASE)
            continue
        if not any(condition.adapter is known for known in distinct):
            distinct.append(condition.adapter)
        names.append(f"face{next(i for i, known in enumerate(distinct) if known is condition.adapter)}")
    return names


def _identity_target(
    backbone: Backbone, conditions: Sequence[FaceCondition], options: RestoreOptions
) -> IdentityTarget | None:
    """Return what guidance aims at, or None where no face has a reference."""
    known = [c.reference for c in conditions if c.reference is not None]
    if not known:
        return None
    rows = [torch.zeros_like(known[0]) if c.reference is None else c.reference for c in conditions]
    cosines = [
        c.target * options.guidance_target_share if options.guidance_target is None else options.guidance_target
        for c in conditions
    ]
    return IdentityTarget(torch.stack(rows).float().to(backbone.device), torch.tensor(cosines, device=backbone.device))


class _Denoiser:
    """The UNet and the ControlNet under the conditions of one batch: z_t, t -> noise prediction."""

    def __init__(
        self,
        backbone: Backbone,
        lora: Attached,
        names: list[str],
        hint: Tensor,
        conditions: Sequence[FaceCondition],
        options: RestoreOptions,
    ) -> None:
        """`hint`: the LQ faces in [0, 1], as ControlNets take pictures."""
        self._backbone, self._lora, self._names, self._hint, self._options = backbone, lora, names, hint, options
        prompts = [backbone.class_prompt() if c.prompt is None else c.prompt for c in conditions]
        self._positive = PromptEmbeds.cat([p.to(backbone.device, backbone.dtype) for p in prompts])
        self._plain = all(c.prompt is None and c.adapter is None for c in conditions)  # y and y* are the same
        self._negative = backbone.class_prompt().expand(len(conditions))

    def __call__(self, z_t: Tensor, t: int) -> Tensor:
        low, high = self._options.cfg_interval
        scale = self._options.cfg_scale
        if self._plain or scale == 1 or not low <= t <= high:
            return self._predict(z_t, t, self._positive, self._names, self._hint)
        negative = [BASE] * len(self._names) if self._options.base_negative else self._names
        prompts = PromptEmbeds.cat([self._positive, self._negative])
        both = self._predict(
            torch.cat([z_t, z_t]), t, prompts, self._names + negative, torch.cat([self._hint, self._hint])
        )
        with_identity, without = both.chunk(2)
        return without + scale * (with_identity - without)

    def _predict(self, z_t: Tensor, t: int, prompts: PromptEmbeds, names: list[str], hint: Tensor) -> Tensor:
        backbone = self._backbone
        z_t = z_t.to(backbone.dtype)
        added = backbone.added_conditions(prompts)
        down, middle = backbone.controlnet(
            z_t,
            t,
            prompts.embeds,
            hint,
            conditioning_scale=self._options.control_scale,
            added_cond_kwargs=added,
            return_dict=False,
        )
        self._lora.select(names)
        output = backbone.unet(
            z_t,
            t,
            prompts.embeds,
            added_cond_kwargs=added,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
        ).sample
        return as_noise(backbone.scheduler, output, z_t, torch.tensor([t], device=z_t.device))
