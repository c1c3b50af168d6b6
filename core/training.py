"""Personalizing one identity: LoRA, [V] and the Q_i learn together from a handful of photos of mixed quality.

Equations 4 and 6 of the paper with an identity loss beside them. Once the tokens are frozen the backward pass stops at
the decoder; what is saved on the way forward stands in core.predictions.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from core import checkpoint
from core.backbone import Backbone
from core.control import embedded_hints
from core.errors import Interrupted, NotFinite
from core.frozen_weights import FrozenWeights
from core.held_out import embedded_latents, held_out_batch, held_out_identity
from core.injector import Adapter, Attached, inserted, new_lora
from core.learned_tokens import LearnedTokens
from core.losses import denoising_loss, identity_loss, predicted_latents, prior_loss
from core.options import TrainOptions
from core.precision import compute_dtype
from core.predictions import LEARNER, Noised, NoisePredictions
from core.references import (
    EncodedReferences,
    Reference,
    check_references,
    encode_references,
    face_embeddings,
    held_out_reference,
    mean_identity,
    second_embeddings,
)
from core.tokens import PromptEmbeds, TokenVectors, encode_prompt
from core.train_state import TrainState, check_resumable, dtype_named, fingerprint, settled
from core.training_batch import Batch, draw_batch

_WARMUP = 10  # steps
_FINAL_SHARE = 0.05  # of the learning rates, at the end of the cosine
_GRADIENT_NORM = 1.0


@dataclass(frozen=True)
class TrainProgress:
    """How far a training is."""

    step: int  # steps done
    steps: int
    loss: float
    parts: dict[str, float]  # the loss by its terms, unweighted
    held_out_identity: float | None  # cosine, at the last evaluation


class TrainingInterrupted(Interrupted):
    """A training stopped on request; `state` lets it go on."""

    state: TrainState


def train_injector(
    backbone: Backbone,
    references: Sequence[Reference],
    options: TrainOptions,
    *,
    progress: Callable[[TrainProgress], None] | None = None,
    resume: TrainState | None = None,
    should_stop: Callable[[], bool] | None = None,
    keep: Callable[[TrainState], None] | None = None,
) -> Adapter:
    """Train an injector on aligned references; the same seed, bundle and machine give the same adapter to the bit.

    `progress` is called after each step, `keep` with a checkpoint every `options.checkpoint_every`; between two steps
    the UNet is free for others. TrainingInterrupted, with a checkpoint, once `should_stop` says so.
    """
    training = _Training(backbone, references, options, resume)
    with inserted(backbone.unet, {LEARNER: training.lora}) as lora:
        while not training.finished:
            with lora.paused():
                if should_stop is not None and should_stop():
                    raise TrainingInterrupted(
                        f"stopped after {training.step} of {options.steps} training steps; resume from the checkpoint",
                        training.state(),
                    )
            done = training.advance(lora)
            with lora.paused():
                if progress is not None:
                    progress(done)
                if keep is not None and training.step % options.checkpoint_every == 0:
                    keep(training.state())
    return training.adapter()


class _Training:
    """One run: what learns, what it learns from, and how far it is."""

    predictions_of: ClassVar[type[NoisePredictions]] = NoisePredictions  # the benchmark compares it with others

    def __init__(
        self, backbone: Backbone, references: Sequence[Reference], options: TrainOptions, resume: TrainState | None
    ) -> None:
        check_references(references, backbone.resolution)
        options = settled(options, backbone)
        self._backbone, self._references, self._options = backbone, references, options
        scores = [r.quality.score for r in references]
        self._held_out = None if options.early_stop is None else held_out_reference(scores)
        self._learned_from = [r for i, r in enumerate(references) if i != self._held_out]
        # 1. the photos, encoded once
        generator = torch.Generator().manual_seed(options.seed)
        self._encoded = encode_references(backbone, self._learned_from, generator, degraded=options.control)
        self._identity = mean_identity(self._encoded.embeddings, self._encoded.scores)
        self._judged = (
            None if self._held_out is None else encode_references(backbone, [references[self._held_out]], generator)
        )
        # 2. the parameters: nothing else is ever changed
        self.lora = new_lora(backbone.unet, options.targets, options.rank, generator)
        self._tokens = LearnedTokens(
            backbone, self._identity, self._learned_from, generator, quality=options.quality_tokens
        )
        groups: list[dict[str, Any]] = [
            {"params": list(self.lora.values()), "peak": options.learning_rate},
            {"params": list(self._tokens.parameters.values()), "peak": options.token_learning_rate},
        ]
        self._optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99))
        self._predictions = self.predictions_of(backbone, options.targets, prior=bool(options.lambda_prior))
        # 3. where it stands
        self._fingerprint = fingerprint(backbone, references, options)
        self._compute_dtype = compute_dtype(backbone.device.type)
        self._best = {name: p.detach().clone() for name, p in self._parameters.items()}
        self._best_step, self._best_identity = 0, -math.inf
        self._last_identity: float | None = None
        self._frozen_prompts: PromptEmbeds | None = None
        self.step = 0
        if resume is not None:
            self._resume(resume)

    @property
    def finished(self) -> bool:
        """Say whether all steps are done, or the held-out ID has not risen for long enough."""
        patience = self._options.early_stop
        tired = self._judged is not None and patience is not None and self.step - self._best_step >= patience
        return tired or self.step >= self._options.steps

    def advance(self, lora: Attached) -> TrainProgress:
        """Do one step; NotFinite where the loss or its gradient is no longer a number."""
        generator = torch.Generator().manual_seed(self._options.seed * 1_000_003 + self.step)
        for group in self._optimizer.param_groups:
            group["lr"] = group["peak"] * self._schedule()
        options = self._options
        weights = {"denoising": 1.0, "prior": options.lambda_prior, "identity": options.identity_weight}
        with self._frozen.cast() if self._half_pays else nullcontext():
            terms = self._losses(lora, generator)
            loss = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
            self._require_finite("loss", loss)
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
        self._require_finite("gradient", nn.utils.clip_grad_norm_(self._parameters.values(), _GRADIENT_NORM))
        self._optimizer.step()
        self.step += 1
        if self._judged is not None and (self.step % options.evaluate_every == 0 or self.step == options.steps):
            self._evaluate(lora, self._judged)
        parts = {name: float(term.detach()) for name, term in terms.items()}
        return TrainProgress(self.step, options.steps, float(loss.detach()), parts, self._last_identity)

    def _require_finite(self, what: str, value: Tensor) -> None:
        if not torch.isfinite(value):
            raise NotFinite(
                f"the {what} of step {self.step} is {value.item()}, wanted a finite number; start again with another "
                "seed or other photos"
            )

    def state(self) -> TrainState:
        """Return everything needed to go on from here."""
        tensors = checkpoint.pack(self._parameters, self._optimizer)
        tensors |= {f"best/{name}": value.clone() for name, value in self._best.items()}
        return TrainState(
            tensors={name: value.cpu().contiguous() for name, value in tensors.items()},
            step=self.step,
            fingerprint=self._fingerprint,
            compute_dtype=str(self._compute_dtype).removeprefix("torch."),
            best_step=self._best_step,
            best_identity=self._best_identity if math.isfinite(self._best_identity) else None,
            last_identity=self._last_identity,
        )

    @torch.no_grad()
    def adapter(self) -> Adapter:
        """Return what was learned: the best by held-out ID where there is one, else the last."""
        backbone = self._backbone
        values = self._parameters if self._judged is None else self._best
        identity = TokenVectors(values["identity.first"].detach().clone(), values["identity.second"].detach().clone())
        prompt = encode_prompt(backbone, identity)
        order = sorted(range(len(self._references)), key=lambda i: -self._references[i].quality.score)
        crops = torch.stack([self._references[i].crop for i in order])
        return Adapter(
            lora={name: values[name].detach().half().cpu() for name in self.lora},
            prompt=PromptEmbeds(prompt.embeds.float().cpu(), prompt.pooled.float().cpu()),
            identity=TokenVectors(identity.first.float().cpu(), identity.second.float().cpu()),
            references=face_embeddings(backbone, crops).cpu(),
            second_references=second_embeddings(backbone, crops).cpu(),
            metadata=self._metadata(order),
        )

    def _metadata(self, order: list[int]) -> dict[str, Any]:
        files = self._backbone.manifest["files"]
        reports = [asdict(self._references[i].quality) | {"held_out": i == self._held_out} for i in order]
        return {
            "bundle": self._backbone.name,
            "base_digest": self._backbone.base_digest,
            "recognizers": [files.get(f"{part}/recognition.onnx") for part in ("faces", "second_recognizer")],
            "options": self._options.as_dict(),
            "quality_report": [report | {"words": list(report["words"])} for report in reports],
            "training": {
                "steps": self.step,
                "kept_step": self.step if self._judged is None else self._best_step,
                "held_out_identity": None if self._judged is None else self._best_identity,
            },
        }

    @property
    def _parameters(self) -> dict[str, nn.Parameter]:
        return {**self.lora, **self._tokens.parameters}

    @property
    def _tokens_learn(self) -> bool:
        return self.step < self._options.pivot * self._options.steps

    def _resume(self, state: TrainState) -> None:
        check_resumable(state, self._fingerprint)
        tensors = {name: value.to(self._backbone.device) for name, value in state.tensors.items()}
        checkpoint.unpack(tensors, self._parameters, self._optimizer)
        self._best = {name: tensors[f"best/{name}"].clone() for name in self._best}
        self.step, self._best_step, self._last_identity = state.step, state.best_step, state.last_identity
        self._best_identity = -math.inf if state.best_identity is None else state.best_identity
        self._compute_dtype = dtype_named(state.compute_dtype)

    def _schedule(self) -> float:
        """Return the share of the learning rates at this step: a linear warm-up, then a cosine or a constant."""
        warm = min(1.0, (self.step + 1) / _WARMUP)
        if self._options.schedule == "constant":
            return warm
        cosine = 0.5 * (1 + math.cos(math.pi * self.step / self._options.steps))
        return warm * (_FINAL_SHARE + (1 - _FINAL_SHARE) * cosine)

    def _losses(self, lora: Attached, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the terms of the loss over one batch."""
        backbone, options, scheduler = self._backbone, self._options, self._backbone.scheduler
        # 1. a batch: which reference, which of its crops, how much noise (eq. 2)
        batch = self._batch(generator)
        t, z_t = batch.t, batch.z_t
        # 2. the noise predictions: for y, and for y* with the injector and without it
        with self._autocast():
            y = self._prompts(batch.which)
            seen = None if self._stem_outputs is None else self._stem_outputs[batch.which, batch.version]
            noise_pred, class_pred, base_pred = self._predictions(
                lora, Noised(z_t, t, y, seen), tokens_learn=self._tokens_learn
            )
        # 3. eq. 6, eq. 4, and the identity loss now and then
        terms = {"denoising": denoising_loss(scheduler, noise_pred, batch.noise, t, options.gamma).mean()}
        if class_pred is not None and base_pred is not None:
            terms["prior"] = prior_loss(class_pred, base_pred, options.literal_prior_norm).mean()
        if options.identity_weight and self.step % options.identity_every == 0:
            with self._autocast():
                embeddings = embedded_latents(backbone, predicted_latents(scheduler, z_t, noise_pred, t))
            terms["identity"] = identity_loss(scheduler, embeddings, self._identity, t).mean()
        return terms

    @cached_property
    def _stem_outputs(self) -> Tensor | None:
        """What the ControlNet's stem makes of the references' degraded twins, kept as their latents are."""
        twins = self._encoded.degraded
        return None if twins is None else embedded_hints(self._backbone.controlnet, twins.hints)

    def _batch(self, generator: torch.Generator) -> Batch:
        return draw_batch(self._encoded, self._backbone.scheduler, self._options, generator)

    def _prompts(self, which: Tensor) -> PromptEmbeds:
        """Return y with the quality words of each example's reference; encoded once when the tokens are frozen."""
        if self._tokens_learn:
            distinct, place = which.unique(return_inverse=True)
            prompts = self._tokens.prompts(distinct.tolist())
            return PromptEmbeds(prompts.embeds[place], prompts.pooled[place])
        if self._frozen_prompts is None:
            with torch.no_grad():
                self._frozen_prompts = self._tokens.prompts()
        return PromptEmbeds(self._frozen_prompts.embeds[which], self._frozen_prompts.pooled[which])

    @property
    def _half_pays(self) -> bool:
        """Say whether bf16 pays and the weights are not in bf16 already."""
        return self._compute_dtype == torch.bfloat16 and self._backbone.dtype != torch.bfloat16

    @cached_property
    def _frozen(self) -> FrozenWeights:
        return FrozenWeights([self._backbone.unet, self._backbone.controlnet], torch.bfloat16)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._backbone.device.type, dtype=torch.bfloat16, enabled=self._half_pays)

    @torch.no_grad()
    def _evaluate(self, lora: Attached, judged: EncodedReferences) -> None:
        """Read the held-out ID, and keep the parameters if none were better."""
        with self._autocast():
            y = encode_prompt(self._backbone, self._tokens.identity)
            batch = held_out_batch(self._backbone, judged, y, self._options.seed)
            noise_pred = self._predictions.of_y(lora, batch)
        self._last_identity = identity = held_out_identity(self._backbone, batch, noise_pred, judged)
        if identity > self._best_identity:
            self._best_identity, self._best_step = identity, self.step
            self._best = {name: p.detach().clone() for name, p in self._parameters.items()}
