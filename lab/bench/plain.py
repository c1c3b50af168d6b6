"""The plain alternative that speed is compared with: the same losses, written as one would first write them.

Whole UNet calls for every prediction, photos encoded and prompts embedded anew at every step, the backward pass
through everything, the full VAE for the identity loss; in the same precision.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from time import perf_counter

import torch
from peft import LoraConfig
from torch import Tensor, nn

from core.arcface import to_arcface_frame
from core.backbone import Backbone
from core.injector import target_modules
from core.losses import as_noise, denoising_loss, identity_loss, noised, predicted_latents, prior_loss
from core.options import RestoreOptions, TrainOptions
from core.precision import compute_dtype
from core.references import Reference, face_embeddings, mean_identity
from core.tokens import Prompt, TokenVectors, encode_prompts, project_identity, word_vectors


def plain_restoration(backbone: Backbone, options: RestoreOptions) -> tuple[Backbone, RestoreOptions]:
    """Return what makes `sample` the plain alternative: every step guided, through the full VAE."""
    return replace(backbone, preview_decoder=None), replace(
        options, guidance_window=(0.0, 1000.0), guidance_every=1, cfg_interval=(0.0, 1000.0)
    )


def plain_training_seconds(backbone: Backbone, references: Sequence[Reference], options: TrainOptions) -> float:
    """Train as plainly as the equations read and return the seconds from the first step to the last."""
    training = _PlainTraining(backbone, references, options)
    start = perf_counter()
    for step in range(options.steps):
        training.advance(step)
    return perf_counter() - start


class _PlainTraining:
    """The paper's losses over diffusers' own LoRA on a UNet of its own."""

    def __init__(self, backbone: Backbone, references: Sequence[Reference], options: TrainOptions) -> None:
        self._backbone, self._options = backbone, options
        self._crops = torch.stack([r.crop for r in references]).to(backbone.device)
        embeddings = face_embeddings(backbone, self._crops)
        self._wanted = mean_identity(embeddings, torch.tensor([r.quality.score for r in references]).to(embeddings))
        self._unet = deepcopy(backbone.unet)
        names = target_modules(self._unet, options.targets)
        self._unet.add_adapter(LoraConfig(r=options.rank, lora_alpha=options.rank, target_modules=names))
        identity = project_identity(backbone, self._wanted)
        qualities = [word_vectors(backbone, r.quality.words) for r in references]
        self._identity, *self._qualities = (_learning(vectors) for vectors in (identity, *qualities))
        tokens = [v for vectors in (self._identity, *self._qualities) for v in (vectors.first, vectors.second)]
        lora = [p for p in self._unet.parameters() if p.requires_grad]
        self._optimizer = torch.optim.Adam(
            [{"params": lora, "lr": options.learning_rate}, {"params": tokens, "lr": options.token_learning_rate}]
        )

    def advance(self, step: int) -> None:
        """Do one step of eq. 6, eq. 4 and the identity loss."""
        backbone, options, scheduler = self._backbone, self._options, self._backbone.scheduler
        generator = torch.Generator().manual_seed(step)
        which = torch.randint(len(self._crops), (options.batch_size,), generator=generator)
        with torch.no_grad():
            z = backbone.encode(self._crops[which], generator).float()
        noise = torch.randn(z.shape, generator=generator).to(z)
        t = torch.randint(scheduler.config.num_train_timesteps, (len(z),), generator=generator).to(z.device)
        z_t = noised(scheduler, z, noise, t)
        noise_pred = self._predict(z_t, t, [Prompt(self._identity, self._qualities[i]) for i in which.tolist()])
        loss = denoising_loss(scheduler, noise_pred, noise, t, options.gamma).mean()
        class_pred = self._predict(z_t, t, [Prompt()] * len(z))
        with torch.no_grad():
            self._unet.disable_adapters()
            base_pred = self._predict(z_t, t, [Prompt()] * len(z))
            self._unet.enable_adapters()
        loss = loss + options.lambda_prior * prior_loss(class_pred, base_pred).mean()
        if options.identity_weight and step % options.identity_every == 0:
            x = backbone.decode(predicted_latents(scheduler, z_t, noise_pred, t))
            face = backbone.recognizer(to_arcface_frame(x.float()))
            loss = loss + options.identity_weight * identity_loss(scheduler, face, self._wanted, t).mean()
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()

    def _predict(self, z_t: Tensor, t: Tensor, prompts: list[Prompt]) -> Tensor:
        backbone = self._backbone
        pays = compute_dtype(backbone.device.type) == torch.bfloat16 and backbone.dtype != torch.bfloat16
        with torch.autocast(backbone.device.type, dtype=torch.bfloat16, enabled=pays):
            y = encode_prompts(backbone, prompts).to(backbone.device, backbone.dtype)
            added = backbone.added_conditions(y)
            output = self._unet(z_t.to(backbone.dtype), t, y.embeds, added_cond_kwargs=added).sample
        return as_noise(backbone.scheduler, output, z_t, t)


def _learning(vectors: TokenVectors) -> TokenVectors:
    return TokenVectors(*(nn.Parameter(v.detach().float().clone()) for v in (vectors.first, vectors.second)))
