"""The plain alternative that speed is compared with: the same losses, written as one would first write them.

Whole UNet calls for every prediction, photos encoded and prompts embedded anew at every step, the backward pass
through everything, the full VAE for the identity loss; in the same precision.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from diffusers import DDIMScheduler
from diffusers.models.attention_processor import AttnProcessor2_0
from peft import LoraConfig
from torch import Tensor, nn

from core.arcface import load_recognizer, to_arcface_frame
from core.backbone import Backbone
from core.degradation import degrade, draw
from core.guidance import IdentityTarget, guided_noise
from core.injector import Adapter, target_modules
from core.losses import (
    as_noise,
    denoising_loss,
    identity_loss,
    lq_started,
    noised,
    predicted_latents,
    prior_loss,
)
from core.options import RestoreOptions, TrainOptions
from core.precision import compute_dtype
from core.references import Reference, face_embeddings, mean_identity
from core.tokens import Prompt, PromptEmbeds, TokenVectors, encode_prompts, project_identity, word_vectors
from core.train_state import settled
from lab.bench.contiguous import contiguous


class PlainRestoration:
    """The denoising loop as one would first write it: every step guided by eq. 7 through the full VAE.

    Same steps, seeds, CFG and inner iterations as the product's; one adapter for the whole batch.
    """

    def __init__(self, backbone: Backbone, adapter: Adapter) -> None:
        self._backbone = as_loaded(backbone)
        self._adapter = adapter
        self._unet = deepcopy(backbone.unet)
        self._unet.set_attn_processor(AttnProcessor2_0())  # diffusers' own
        layers = [name.removesuffix(".lora_A.weight") for name in adapter.lora if "lora_A" in name]
        rank = len(next(value for name, value in adapter.lora.items() if "lora_A" in name))
        self._unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=layers))
        own = dict(self._unet.named_parameters())
        with torch.no_grad():
            for name, value in adapter.lora.items():
                own[name.replace(".weight", ".default.weight")].copy_(value)
        self._unet.requires_grad_(False).to(backbone.dtype)

    @torch.no_grad()
    def __call__(self, lq: Tensor, reference: Tensor, options: RestoreOptions) -> Tensor:
        """Restore lq (B, 3, S, S) in [-1, 1] towards a reference's embedding (D,)."""
        backbone, count = self._backbone, len(lq)
        scheduler = DDIMScheduler.from_config(backbone.scheduler.config, prediction_type="epsilon")
        scheduler.set_timesteps(options.schedule_steps)
        scheduler.timesteps = scheduler.timesteps[-options.steps :]
        lq = lq.to(backbone.device, backbone.dtype)
        noise = torch.stack([_noise(backbone, i) for i in range(count)]).to(backbone.device)
        t = scheduler.timesteps[:1].to(backbone.device).expand(count)
        z_t = noised(scheduler, backbone.encode(lq).float(), noise, t)
        reference = reference.to(backbone.device).float().expand(count, -1)
        target = IdentityTarget(reference, torch.full((count,), 2.0, device=backbone.device))
        y = self._adapter.prompt.to(backbone.device, backbone.dtype).expand(count)
        y_class = backbone.class_prompt().expand(count)
        for step in scheduler.timesteps.tolist():
            with_identity = self._predict(z_t, step, y, lq, options)
            self._unet.disable_adapters()
            without = self._predict(z_t, step, y_class, lq, options)
            self._unet.enable_adapters()
            noise_pred = without + options.cfg_scale * (with_identity - without)
            noise_pred = guided_noise(backbone, z_t, noise_pred, step, target, options)
            z_t = scheduler.step(noise_pred, step, z_t).prev_sample
        return backbone.decode(z_t.to(backbone.dtype)).float().clamp(-1, 1)

    def _predict(self, z_t: Tensor, t: int, prompt: PromptEmbeds, lq: Tensor, options: RestoreOptions) -> Tensor:
        backbone = self._backbone
        z_t = z_t.to(backbone.dtype)
        added = backbone.added_conditions(prompt)
        scale = options.control_scale
        down, middle = backbone.controlnet(
            z_t, t, prompt.embeds, (lq + 1) / 2, scale, added_cond_kwargs=added, return_dict=False
        )
        output = self._unet(
            z_t,
            t,
            prompt.embeds,
            added_cond_kwargs=added,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
        ).sample
        return as_noise(backbone.scheduler, output, z_t, torch.tensor([t], device=z_t.device))


def as_loaded(backbone: Backbone) -> Backbone:
    """Return the backbone as one would first load it: torch's memory order, norms and PReLUs; no preview decoder."""
    plain = contiguous(backbone)
    file = backbone.folder / "faces" / "recognition.onnx"
    recognizer = load_recognizer(file).to(backbone.device) if file.exists() else plain.recognizer
    for owner in list(recognizer.modules()):
        if isinstance(slopes := getattr(owner, "prelu", None), nn.PReLU):
            owner.prelu = nn.PReLU(len(slopes.weight)).to(backbone.device)
            owner.prelu.load_state_dict(slopes.state_dict())
    vae = deepcopy(backbone.vae).to(memory_format=torch.contiguous_format)
    return replace(plain, vae=vae, recognizer=recognizer.requires_grad_(False), preview_decoder=None)


def _noise(backbone: Backbone, seed: int) -> Tensor:
    return torch.randn(backbone.latent_shape, generator=torch.Generator().manual_seed(seed))


class PlainTraining:
    """The paper's losses over diffusers' own LoRA on a UNet of its own."""

    def __init__(self, backbone: Backbone, references: Sequence[Reference], options: TrainOptions) -> None:
        backbone = as_loaded(backbone)
        self._backbone, self._options = backbone, options
        self._crops = torch.stack([r.crop for r in references]).to(backbone.device)
        embeddings = face_embeddings(backbone, self._crops)
        self._wanted = mean_identity(embeddings, torch.tensor([r.quality.score for r in references]).to(embeddings))
        self._unet = deepcopy(backbone.unet)
        self._unet.set_attn_processor(AttnProcessor2_0())  # diffusers' own
        names = target_modules(self._unet, options.targets)
        self._unet.add_adapter(LoraConfig(r=options.rank, lora_alpha=options.rank, target_modules=names))
        person = word_vectors(backbone, ["person"])
        identity = person if backbone.identity_projection is None else project_identity(backbone, self._wanted)
        qualities = [word_vectors(backbone, r.quality.words) for r in references]
        self._identity, *self._qualities = (_learning(vectors) for vectors in (identity, *qualities))
        tokens = [v for vectors in (self._identity, *self._qualities) for v in (vectors.first, vectors.second)]
        lora = [p for p in self._unet.parameters() if p.requires_grad]
        rate = settled(options, backbone).token_learning_rate
        groups: list[dict[str, Any]] = [{"params": lora, "lr": options.learning_rate}, {"params": tokens, "lr": rate}]
        self._optimizer = torch.optim.Adam(groups)

    def run(self) -> None:
        """Do all steps."""
        for step in range(self._options.steps):
            self.advance(step)

    def advance(self, step: int) -> None:
        """Do one step of eq. 6, eq. 4 and the identity loss."""
        backbone, options, scheduler = self._backbone, self._options, self._backbone.scheduler
        generator = torch.Generator().manual_seed(step)
        which = torch.randint(len(self._crops), (options.batch_size,), generator=generator)
        with torch.no_grad():
            z = backbone.encode(self._crops[which], generator).float()
        noise = torch.randn(z.shape, generator=generator).to(z)
        t = torch.randint(scheduler.config.num_train_timesteps, (len(z),), generator=generator).to(z.device)
        hint = None
        if options.control:
            hint, noise = self._as_served(which, z, noise, generator)
            t = (t * options.strength).long()
        z_t = noised(scheduler, z, noise, t)
        noise_pred = self._predict(z_t, t, [Prompt(self._identity, self._qualities[i]) for i in which.tolist()], hint)
        loss = denoising_loss(scheduler, noise_pred, noise, t, options.gamma).mean()
        class_pred = self._predict(z_t, t, [Prompt()] * len(z), hint)
        with torch.no_grad():
            self._unet.disable_adapters()
            base_pred = self._predict(z_t, t, [Prompt()] * len(z), hint)
            self._unet.enable_adapters()
        loss = loss + options.lambda_prior * prior_loss(class_pred, base_pred).mean()
        if options.identity_weight and step % options.identity_every == 0:
            with self._autocast():
                x = backbone.decode(predicted_latents(scheduler, z_t, noise_pred, t))
            face = backbone.recognizer(to_arcface_frame(x.float()))
            loss = loss + options.identity_weight * identity_loss(scheduler, face, self._wanted, t).mean()
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()

    @torch.no_grad()
    def _as_served(self, which: Tensor, z: Tensor, noise: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Degrade the crops anew; return what the ControlNet sees and the noise of a start there."""
        backbone = self._backbone
        lq = torch.stack([degrade(x, draw(generator, None), generator) for x in self._crops[which].cpu()]).to(z.device)
        last = backbone.scheduler.config.num_train_timesteps
        start = torch.full((len(z),), round(self._options.strength * last) - 1, device=z.device)
        z_lq = backbone.encode(lq.to(backbone.dtype)).float()
        return ((lq + 1) / 2).to(backbone.dtype), lq_started(backbone.scheduler, noise, z, z_lq, start)

    def _predict(self, z_t: Tensor, t: Tensor, prompts: list[Prompt], hint: Tensor | None) -> Tensor:
        backbone = self._backbone
        with self._autocast():
            y = encode_prompts(backbone, prompts).to(backbone.device, backbone.dtype)
            conditions: dict[str, Any] = {"added_cond_kwargs": backbone.added_conditions(y)}
            z_t = z_t.to(backbone.dtype)
            if hint is not None:
                down, middle = backbone.controlnet(z_t, t, y.embeds, hint, return_dict=False, **conditions)
                conditions |= {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
            output = self._unet(z_t, t, y.embeds, **conditions).sample
        return as_noise(backbone.scheduler, output, z_t, t)

    def _autocast(self) -> torch.autocast:
        device = self._backbone.device.type
        pays = compute_dtype(device) == torch.bfloat16 and self._backbone.dtype != torch.bfloat16
        return torch.autocast(device, dtype=torch.bfloat16, enabled=pays)


def _learning(vectors: TokenVectors) -> TokenVectors:
    return TokenVectors(*(nn.Parameter(v.detach().float().clone()) for v in (vectors.first, vectors.second)))
