"""`idprefer pretrain controlnet`: a ControlNet for restoration over a frozen base, at any size, on any number of GPUs.

The base of the paper: SDXL and a ControlNet trained on degraded faces. Started by `accelerate launch`, every process
takes its share of each batch; a run that was killed goes on, and ends as one that was not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from diffusers import ControlNetModel
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from core import checkpoint
from core.backbone import Backbone, read_manifest
from core.losses import as_noise, denoising_loss, noised
from lab.pretrain.bundle import seal
from lab.pretrain.controlnet.examples import Examples
from lab.pretrain.controlnet.photos import Crops, find_crops
from lab.pretrain.saved import save_run, saved_run

_CHECKPOINT = "checkpoint.safetensors"
_GRADIENT_NORM = 1.0


@dataclass(frozen=True)
class ControlOptions:
    """How a ControlNet is trained."""

    steps: int = 20_000
    batch_size: int = 8  # examples of a step, over all processes
    learning_rate: float = 5e-5
    warmup_steps: int = 500
    gamma: float = 5.0  # of min-SNR
    weight_decay: float = 0.01
    checkpoint_every: int = 500  # steps
    workers: int = 2  # processes that read and degrade photos, of each GPU
    checkpointed: bool = False  # activations are computed again in the backward pass
    half_weights: bool = False  # bf16 weights and moments: half the memory, coarser steps
    seed: int = 0


@dataclass(frozen=True)
class Step:
    """How far a run is."""

    step: int  # steps done
    steps: int
    loss: float


def pretrain_controlnet(
    backbone: Backbone,
    controlnet: ControlNetModel,
    data: Path,
    work: Path,
    options: ControlOptions,
    progress: Callable[[Step], None] = lambda step: None,
) -> Crops:
    """Train a ControlNet in place, or go on with the run in `work`; returns what the folder of photos gave."""
    accelerator = Accelerator(cpu=backbone.device.type == "cpu", mixed_precision=_precision(backbone, options))
    work.mkdir(parents=True, exist_ok=True)
    crops = _crops(accelerator, backbone, data, work)
    controlnet.train().requires_grad_(True).to(torch.bfloat16 if options.half_weights else torch.float32)
    if options.checkpointed:
        controlnet.enable_gradient_checkpointing()
        backbone.unet.enable_gradient_checkpointing()
    optimizer = torch.optim.AdamW(
        controlnet.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay, betas=(0.9, 0.99)
    )
    parameters = dict(controlnet.named_parameters())
    controlnet.to(accelerator.device)
    done = _resume(work / _CHECKPOINT, parameters, optimizer)
    trained, optimizer = accelerator.prepare(controlnet, optimizer)
    for step, batch in enumerate(_batches(accelerator, crops, options, done), start=done):
        for group in optimizer.param_groups:
            group["lr"] = options.learning_rate * min(1.0, (step + 1) / options.warmup_steps)
        with accelerator.autocast():
            loss = _loss(backbone, trained, batch, options)
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the loss of step {step} is {loss.item()}, wanted a finite number")
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(controlnet.parameters(), _GRADIENT_NORM)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if accelerator.is_main_process and ((step + 1) % options.checkpoint_every == 0 or step + 1 == options.steps):
            tensors = checkpoint.pack(parameters, optimizer.optimizer, copied=False)
            save_run(work / _CHECKPOINT, tensors, step + 1)
        progress(Step(step + 1, options.steps, float(loss.detach())))
    accelerator.wait_for_everyone()
    return crops


def put_into_bundle(controlnet: ControlNetModel, folder: Path) -> None:
    """Write a ControlNet into a bundle in fp16, in the place of the one it had, and seal the bundle anew."""
    about = {name: value for name, value in read_manifest(folder).items() if name != "files"}
    controlnet.half().save_pretrained(folder / "controlnet")
    seal(folder, about)


def _crops(accelerator: Accelerator, backbone: Backbone, data: Path, work: Path) -> Crops:
    """Look for faces in the main process; the others read what it found."""
    with accelerator.main_process_first():
        return find_crops(data, backbone.resolution, lambda: backbone.detector, work / "faces.json")


def _batches(accelerator: Accelerator, crops: Crops, options: ControlOptions, done: int) -> Any:
    """Return the batches of the steps still to do: step k always has the same examples, shared out over processes."""
    size, world, rank = options.batch_size, accelerator.num_processes, accelerator.process_index
    if size % world:
        raise ValueError(f"got a batch of {size} for {world} processes, wanted a multiple of {world}")
    examples = Examples(crops, options.steps * size, options.seed)
    numbers = range(done * size + rank, len(examples), world)
    return DataLoader(Subset(examples, numbers), size // world, num_workers=options.workers)


def _loss(
    backbone: Backbone, controlnet: torch.nn.Module, batch: tuple[Tensor, Tensor, Tensor], options: ControlOptions
) -> Tensor:
    """Return eq. 6 over a batch: the frozen UNet predicts, led by the ControlNet's view of the degraded face."""
    x, hint, seeds = batch
    scheduler, device = backbone.scheduler, backbone.device
    with torch.no_grad():
        z = backbone.encode(x).float()
    # Drawn for each example by a seed of its own, so that they do not depend on how many processes share a batch.
    generators = [torch.Generator().manual_seed(seed) for seed in seeds.tolist()]
    last = scheduler.config.num_train_timesteps
    t = torch.cat([torch.randint(last, (1,), generator=generator) for generator in generators]).to(device)
    noise = torch.stack([torch.randn(z.shape[1:], generator=generator) for generator in generators]).to(z)
    z_t = noised(scheduler, z, noise, t).to(backbone.dtype)
    prompt = backbone.class_prompt().expand(len(z))
    added = backbone.added_conditions(prompt)
    hint = hint.to(device, backbone.dtype)
    dtype = next(controlnet.parameters()).dtype
    down, middle = controlnet(
        z_t.to(dtype), t, prompt.embeds.to(dtype), hint.to(dtype),
        added_cond_kwargs={name: value.to(dtype) for name, value in added.items()}, return_dict=False,
    )  # fmt: skip
    output = backbone.unet(
        z_t,
        t,
        prompt.embeds,
        added_cond_kwargs=added,
        down_block_additional_residuals=[residual.to(backbone.dtype) for residual in down],
        mid_block_additional_residual=middle.to(backbone.dtype),
    ).sample
    return denoising_loss(scheduler, as_noise(scheduler, output, z_t, t), noise, t, options.gamma).mean()


def _precision(backbone: Backbone, options: ControlOptions) -> str:
    """Return accelerate's name of the precision: bf16 where weights are kept in fp32 and the base computes in bf16."""
    return "bf16" if backbone.dtype == torch.bfloat16 and not options.half_weights else "no"


def _resume(path: Path, parameters: dict[str, Any], optimizer: torch.optim.Optimizer) -> int:
    """Load the checkpoint if there is one; returns the number of steps already done."""
    found = saved_run(path)
    if found is None:
        return 0
    tensors, steps = found
    checkpoint.unpack(tensors, parameters, optimizer)
    return steps
