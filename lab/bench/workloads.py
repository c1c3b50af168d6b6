"""What is timed: personalizing and restoring as the product does them, each beside the plain alternative."""

from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass, replace
from unittest.mock import patch

import torch
from peft import LoraConfig

from core.backbone import Backbone
from core.injector import Adapter, attached
from core.options import RestoreOptions, TrainOptions
from core.references import Reference
from core.sampling import FaceCondition, sample
from core.training import train_injector
from lab.bench.clock import Took, interleaved, timed
from lab.bench.contiguous import contiguous
from lab.bench.counting import flops, training_flops
from lab.bench.levers import steps_of_training
from lab.bench.plain import PlainRestoration, PlainTraining
from lab.bench.references import random_references

_SHORT_STEPS = 8  # of training, half of them before the pivot: both loops repeat themselves
BEYOND = 2.0  # a cosine that no face reaches, so that guidance never rests


@dataclass(frozen=True)
class Workload:
    """How much is done."""

    train: TrainOptions
    restore: RestoreOptions
    references: int = 5

    @staticmethod
    def of_preset(name: str) -> "Workload":
        """Return a preset's own, without its early stop."""
        return Workload(replace(TrainOptions.preset(name), early_stop=None), RestoreOptions.preset(name))


# DESIGN's workload at full size: 400 steps of batch 4; 25 steps, CFG on, 2 inner iterations.
FULL_SIZE = Workload(
    TrainOptions(steps=400, batch_size=4, learning_rate=1e-4, token_learning_rate=3e-4),
    RestoreOptions(steps=25, guidance_iterations=2),
)


@dataclass(frozen=True)
class Row:
    """One thing, and what it is compared with."""

    what: str
    ours: Took
    plain: Took | None  # the plain alternative in the same run
    tflop: float | None  # counted operations of ours, in 10^12
    training: bool = False  # in the precision of training, or of restoring

    @property
    def ratios(self) -> tuple[float, float] | None:
        """Return how many times as fast ours is: by the wall clock, by the processor's time."""
        return None if self.plain is None else (self.plain.wall / self.ours.wall, self.plain.cpu / self.ours.cpu)


def personalized(backbone: Backbone, workload: Workload) -> tuple[Row, Adapter]:
    """Personalize once, photos encoded and all, and return the adapter too."""
    references, made = random_references(backbone, workload.references), []
    took = timed(lambda: made.append(train_injector(backbone, references, workload.train)))
    operations = training_flops(backbone, references, workload.train)
    return Row(f"personalize, {workload.train.steps} steps", took, None, operations / 1e12, training=True), made[0]


def training_steps(backbone: Backbone, workload: Workload, repeats: int) -> Row:
    """Time a few steps of training against as many of the plain loop, in turns."""
    references = random_references(backbone, workload.references)
    options = replace(workload.train, steps=_SHORT_STEPS)
    plain = PlainTraining(backbone, references, options)
    took = interleaved(
        {
            "ours": steps_of_training(backbone, references, options),
            "plain": plain.run,
        },
        repeats,
    )
    return Row(f"{_SHORT_STEPS} training steps", took["ours"], took["plain"], None)


def restored(backbone: Backbone, adapter: Adapter, options: RestoreOptions, faces: int, repeats: int) -> Row:
    """Time one batch of faces of one person against the plain loop, in turns."""
    lq = torch.stack([reference.crop for reference in random_references(backbone, faces)])
    plain = PlainRestoration(backbone, adapter)
    ours = _restoring(backbone, adapter, options, faces)
    took = interleaved({"ours": ours, "plain": lambda: plain(lq, adapter.references[0], options)}, repeats)
    what = f"guided restore, {options.steps} steps, {faces} at once"
    return Row(what, took["ours"], took["plain"], flops(ours) / 1e12)


def restoring_levers(backbone: Backbone, adapter: Adapter, options: RestoreOptions, repeats: int) -> dict[str, Took]:
    """Return what restoring one face takes with all levers on (`all`), and without each."""
    without_preview = replace(backbone, preview_decoder=None)
    always = replace(options, guidance_window=(0.0, 1000.0))
    return interleaved(
        {
            "all": _restoring(backbone, adapter, options, 1),
            "preview decoder": _restoring(without_preview, adapter, options, 1),
            "guidance window": _restoring(backbone, adapter, always, 1),
            "decoders and recognizer channels-last": _restoring(contiguous(backbone), adapter, options, 1),
            "the face looked at once": _looking_again(backbone, adapter, options),
        },
        repeats,
    )


def adapter_swap(backbone: Backbone, adapter: Adapter, repeats: int) -> Row:
    """Time putting an adapter in and taking it out, against diffusers' own way on a UNet of its own."""
    unet = deepcopy(backbone.unet)
    layers = [name.removesuffix(".lora_A.weight") for name in adapter.lora if "lora_A" in name]

    def ours() -> None:
        with attached(backbone.unet, {"one": adapter}):
            pass

    def plain() -> None:
        unet.add_adapter(LoraConfig(r=16, lora_alpha=16, target_modules=layers))
        own = dict(unet.named_parameters())
        with torch.no_grad():
            for name, value in adapter.lora.items():
                own[name.replace(".weight", ".default.weight")].copy_(value)
        unet.unload_lora()

    took = interleaved({"ours": ours, "plain": plain}, repeats)
    return Row("adapter swap", took["ours"], took["plain"], None)


def _restoring(backbone: Backbone, adapter: Adapter, options: RestoreOptions, faces: int) -> Callable[[], object]:
    lq = torch.stack([reference.crop for reference in random_references(backbone, faces)])
    conditions = [FaceCondition(i, adapter.prompt, adapter, adapter.references[0], BEYOND) for i in range(faces)]
    return lambda: sample(backbone, lq, conditions, options)


def _looking_again(backbone: Backbone, adapter: Adapter, options: RestoreOptions) -> Callable[[], object]:
    """Return a restoration whose ControlNet looks at the LQ face at every step."""
    work = _restoring(backbone, adapter, options, 1)

    def again() -> object:
        with patch("core.sampling.hint_kept", lambda _controlnet: nullcontext()):
            return work()

    return again


def references_of(backbone: Backbone, workload: Workload) -> list[Reference]:
    """Return the references of a workload."""
    return random_references(backbone, workload.references)
