"""UNet, ControlNet, text encoders and identity projection, trained together from the start.

Half of each batch goes without the ControlNet, and [V] is left out now and then: on few photos that is far cheaper
than a UNet first and a ControlNet after it, and all the combinations that sampling needs are seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderTiny, ControlNetModel, DDIMScheduler, UNet2DConditionModel
from torch import Tensor, nn

from core.arcface import IResNet, to_arcface_frame
from core.attention import attend_on_cpu
from core.losses import alphas_cumprod, identity_loss, lq_started, noised
from core.quality import WORDS
from core.tokens import IdentityProjection, Prompt, PromptEmbeds, TokenVectors, encode_prompts, word_vectors
from lab.pretrain.pool import Pool

_IDENTITY_DROPPED = 0.15
_CAPTIONED_SHARP = 0.3  # of the clean targets
_CONTROLLED = 0.8
_LOWER, _LOWER_SHARE = 0.45, 0.85  # of the schedule, and of the examples noised no further than that
# Of the controlled examples, those noised as a run from the LQ latent leaves them, and where in the schedule it began.
_LQ_STARTED, _LQ_STARTS = 0.75, (0.35, 0.65)
# From this share of the run on, some of the examples' x0-hat must also have the right face, so that [V] is heeded.
_FACES_FROM, _FACES, _FACES_EVERY, _FACES_WEIGHT = 0.15, 8, 1, 0.3
_EMBEDDING_NOISE = 0.25  # standard deviation, relative: [V] must mean a neighbourhood, not one photo


@dataclass(frozen=True)
class BackboneNetworks:
    """The networks trained together, under the names that `core.tokens` knows."""

    unet: UNet2DConditionModel
    controlnet: ControlNetModel
    tokenizer: Any
    tokenizer_2: Any
    text_encoder: Any
    text_encoder_2: Any
    identity_projection: IdentityProjection
    scheduler: DDIMScheduler
    resolution: int = 128

    def modules(self) -> dict[str, nn.Module]:
        """Return the networks by name."""
        names = ("unet", "controlnet", "text_encoder", "text_encoder_2", "identity_projection")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Draw:
    """A batch to be: the text encoders learn too, so that its prompts are made within the loss."""

    index: Tensor  # (B,) of the pool
    faces: bool  # some of the x0-hat must have the right face, too
    generator: torch.Generator


class FaceOfLatents:
    """Latents (B, C, h, w) -> the guidance recognizer's embeddings (B, D), through the preview decoder; frozen."""

    def __init__(self, preview: AutoencoderTiny, recognizer: IResNet) -> None:
        self._preview = preview.eval().requires_grad_(False)
        self._recognizer = recognizer.eval().requires_grad_(False)

    def __call__(self, latents: Tensor) -> Tensor:
        x = self._preview.decode(latents / self._preview.config.scaling_factor).sample
        return self._recognizer(to_arcface_frame(x.float())).float()


class BackboneStage:
    """Trains the denoiser on a pool of examples."""

    name = "backbone"

    def __init__(
        self, training: Pool, held_out: Pool, networks: BackboneNetworks, face: FaceOfLatents | None = None
    ) -> None:
        self._training, self._held_out, self._networks, self._face = training, held_out, networks, face
        if networks.unet.device.type == "cpu":
            attend_on_cpu(networks.unet, networks.controlnet)
        self._groups = {id(pool): pool.by_person() for pool in (training, held_out)}

    def modules(self) -> Mapping[str, nn.Module]:
        """Return the networks being trained."""
        return self._networks.modules()

    def draw(self, batch_size: int, generator: torch.Generator, progress: float) -> Draw:
        """Return which examples, whether their faces count, and what the rest is drawn from."""
        index = torch.randint(len(self._training), (batch_size,), generator=generator)
        faces_due = int(torch.randint(_FACES_EVERY, (), generator=generator)) == 0
        return Draw(index, self._face is not None and progress >= _FACES_FROM and faces_due, generator)

    def loss(self, batch: Draw) -> tuple[Tensor, dict[str, float]]:
        """Return the error of v over a batch, the first part of it with the ControlNet, and that of some faces."""
        index, generator = batch.index, batch.generator
        prompts = self._prompts(self._training, index, generator)
        controlled = int(len(index) * _CONTROLLED)
        started = int(controlled * _LQ_STARTED)
        losses, latents, t = self._losses(self._training, index, prompts, controlled, started, generator)
        with_control, without = losses[:controlled].mean(), losses[controlled:].mean()
        parts = {"control": with_control.item(), "free": without.item()}
        loss = losses.mean()
        if batch.faces:
            loss = loss + _FACES_WEIGHT * self._face_loss(index, latents, t)
        return loss, parts

    def _face_loss(self, index: Tensor, latents: Tensor, t: Tensor) -> Tensor:
        """Return the identity loss of some examples' x0-hat, those whose target is itself bad left out."""
        assert self._face is not None
        some = slice(0, len(index), len(index) // _FACES)
        wanted = self._training.embeddings[index[some]].float().to(latents.device)
        clean = (~self._training.words[index[some]].any(-1)).to(latents.device)
        losses = identity_loss(self._networks.scheduler, self._face(latents[some]), wanted, t[some])
        return (losses * clean).mean()

    def evaluate(self) -> dict[str, float]:
        """Return held-out losses with the right face in [V], with somebody else's, and with none."""
        generator = torch.Generator().manual_seed(0)
        index = torch.arange(0, len(self._held_out), max(1, len(self._held_out) // 128))[:128]
        references = self._references(self._held_out, index, generator)
        right = self._held_out.embeddings[references].float()
        figures = {}
        for name, embeddings in (("right", right), ("wrong", right.roll(7, 0)), ("none", None)):
            identities = [None] * len(index) if embeddings is None else self._identities(embeddings)
            prompts = encode_prompts(self._networks, [Prompt(identity=identity) for identity in identities])
            everyone = len(index)
            for control, count, started in (("control", everyone, 0), ("lq", everyone, everyone), ("free", 0, 0)):
                fixed = torch.Generator().manual_seed(1)
                losses, latents, _ = self._losses(self._held_out, index, prompts, count, started, fixed)
                figures[f"{control}_{name}"] = losses.mean().item()
                if self._face is not None:
                    own = self._held_out.embeddings[index].float().to(latents.device)
                    cosine = (self._face(latents) * own).sum(-1)
                    figures[f"{control}_{name}_face"] = cosine.mean().item()
        return figures

    def _losses(
        self,
        pool: Pool,
        index: Tensor,
        prompts: PromptEmbeds,
        controlled: int,
        started: int,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the mean square error of v of each example (B,), x0-hat and t.

        The first `controlled` go with the ControlNet, the first `started` under the noise of a start at the LQ latent.
        """
        networks, device = self._networks, self._networks.unet.device
        z = pool.latents[index].float().to(device)
        noise = torch.randn(z.shape, generator=generator).to(device)
        t = self._timesteps(len(z), generator).to(device)
        if started:
            noise[:started] = self._lq_started(pool, index[:started], noise[:started], t[:started], generator)
        z_t = noised(networks.scheduler, z, noise, t)
        conditions = {"text_embeds": prompts.pooled, "time_ids": self._time_ids(len(z), device)}
        residuals: dict[str, Any] = {}
        if controlled:
            lq = pool.inputs[index[:controlled]].to(device).float() / 255
            down, middle = networks.controlnet(
                z_t[:controlled],
                t[:controlled],
                prompts.embeds[:controlled],
                lq,
                added_cond_kwargs={k: v[:controlled] for k, v in conditions.items()},
                return_dict=False,
            )
            residuals["down_block_additional_residuals"] = [_padded(d, len(z)) for d in down]
            residuals["mid_block_additional_residual"] = _padded(middle, len(z))
        output = networks.unet(z_t, t, prompts.embeds, added_cond_kwargs=conditions, **residuals).sample.float()
        abar = alphas_cumprod(networks.scheduler, t)
        v = abar.sqrt() * noise - (1 - abar).sqrt() * z
        latents = abar.sqrt() * z_t - (1 - abar).sqrt() * output
        return (output - v).square().mean(dim=(1, 2, 3)), latents, t

    def _lq_started(self, pool: Pool, index: Tensor, noise: Tensor, t: Tensor, generator: torch.Generator) -> Tensor:
        """Return the noise as sampling from the LQ latent would have it at t, begun somewhere above."""
        scheduler, device = self._networks.scheduler, noise.device
        low, high = (share * scheduler.config.num_train_timesteps for share in _LQ_STARTS)
        begun = (low + (high - low) * torch.rand(len(t), generator=generator)).long().to(device)
        z, z_lq = (latents[index].float().to(device) for latents in (pool.latents, pool.input_latents))
        return lq_started(scheduler, noise, z, z_lq, torch.maximum(begun, t))

    def _timesteps(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw timesteps (B,): most of them from where a restoration works, the lower part of the schedule."""
        last = self._networks.scheduler.config.num_train_timesteps
        edge = int(last * _LOWER)
        low = torch.randint(edge, (count,), generator=generator)
        high = torch.randint(edge, last, (count,), generator=generator)
        return torch.where(torch.rand(count, generator=generator) < _LOWER_SHARE, low, high)

    def _prompts(self, pool: Pool, index: Tensor, generator: torch.Generator) -> PromptEmbeds:
        """Return y with a reference's face and the target's quality words, either of them left out now and then."""
        embeddings = pool.embeddings[self._references(pool, index, generator)].float()
        noise = torch.randn(embeddings.shape, generator=generator) * _EMBEDDING_NOISE * embeddings.shape[-1] ** -0.5
        identities = self._identities(nn.functional.normalize(embeddings + noise, dim=-1))
        prompts = []
        for identity, flags in zip(identities, pool.words[index].tolist(), strict=True):
            dropped, captioned = torch.rand(2, generator=generator).tolist()
            words = [word for word, flag in zip(WORDS, flags, strict=True) if flag]
            if not words and captioned < _CAPTIONED_SHARP:
                words = ["sharp"]
            quality = word_vectors(self._networks, words) if words else None
            prompts.append(Prompt(None if dropped < _IDENTITY_DROPPED else identity, quality))
        return encode_prompts(self._networks, prompts)

    def _references(self, pool: Pool, index: Tensor, generator: torch.Generator) -> Tensor:
        """Return for each example another one of the same person: another photo, or another crop of the same."""
        groups = self._groups[id(pool)]
        chosen = []
        for i in index.tolist():
            others = [j for j in groups[int(pool.people[i])] if j != i] or [i]
            chosen.append(others[int(torch.randint(len(others), (), generator=generator))])
        return torch.tensor(chosen)

    def _identities(self, embeddings: Tensor) -> list[TokenVectors]:
        first, second = self._networks.identity_projection(embeddings.to(self._networks.unet.device))
        return [TokenVectors(a, b) for a, b in zip(first.float(), second.float(), strict=True)]

    def _time_ids(self, count: int, device: torch.device) -> Tensor:
        side = self._networks.resolution
        return torch.tensor([side, side, 0, 0, side, side], device=device, dtype=torch.float32).expand(count, -1)


def _padded(residual: Tensor, count: int) -> Tensor:
    """Return a ControlNet residual with zeros for the examples that go without one."""
    return nn.functional.pad(residual, (0, 0) * 3 + (0, count - len(residual)))
