"""One training loop for every network of a bundle: resumable to the step, EMA, progress bar, curve, figures."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn

from core import checkpoint
from core.precision import compute_dtype
from lab.pretrain.saved import save_run, saved_run

_CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True)
class LoopOptions:
    """What every stage shares."""

    steps: int
    batch_size: int
    learning_rate: float
    warmup_steps: int = 200
    final_share: float = 0.05  # of the learning rate, at the end of the cosine
    weight_decay: float = 0.01
    ema_decay: float = 0.999
    gradient_norm: float = 1.0
    checkpoint_every: int = 250  # steps
    evaluate_every: int = 2000  # steps
    seed: int = 0
    device: str = "cpu"
    start: Path | None = None  # a bundle whose weights the run begins with, instead of random ones


class Stage(Protocol):
    """A network, or several trained together: what the loop needs to know of it."""

    name: str

    def modules(self) -> Mapping[str, nn.Module]:
        """Return the networks being trained, by name."""
        ...

    def draw(self, batch_size: int, generator: torch.Generator, progress: float) -> Any:
        """Return a batch, in full precision; `progress` is the share of the run done, in [0, 1]."""
        ...

    def loss(self, batch: Any) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a batch and its parts; runs under autocast where that pays."""
        ...

    def evaluate(self) -> dict[str, float]:
        """Return the held-out figures of the networks as they are now."""
        ...


def parameters_of(stage: Stage) -> dict[str, nn.Parameter]:
    """Return the trainable parameters of all of a stage's networks, by full name."""
    return {
        f"{name}.{key}": p for name, m in stage.modules().items() for key, p in m.named_parameters() if p.requires_grad
    }


def train(stage: Stage, options: LoopOptions, workdir: Path, *, quiet: bool = False) -> dict[str, float]:
    """Run or resume the stage in `workdir` and leave its EMA weights in the networks; returns the held-out figures.

    Step k always sees the batch of seed (seed, k), so a run killed and resumed equals one that was not.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    for module in stage.modules().values():
        module.to(options.device).train()
    parameters = parameters_of(stage)
    optimizer = torch.optim.AdamW(
        parameters.values(), lr=options.learning_rate, weight_decay=options.weight_decay, betas=(0.9, 0.99)
    )
    ema = {name: p.detach().clone() for name, p in parameters.items()}
    buffers = {f"{n}.{k}": b for n, m in stage.modules().items() for k, b in m.named_buffers()}
    start = _resume(workdir, parameters, ema, buffers, optimizer)
    log = _Log(workdir, stage.name)
    with _bar(quiet) as bar:
        task = bar.add_task(stage.name, total=options.steps, completed=start, figures="")
        for step in range(start, options.steps):
            parts = _step(stage, parameters, optimizer, options, step)
            _update_ema(ema, parameters, min(options.ema_decay, (1 + step) / (10 + step)))
            log.add(step, parts)
            bar.update(task, advance=1, figures=" ".join(f"{k} {v:.4f}" for k, v in parts.items()))
            if (step + 1) % options.checkpoint_every == 0 or step + 1 == options.steps:
                _save(workdir, parameters, ema, buffers, optimizer, step + 1)
            if (step + 1) % options.evaluate_every == 0 and step + 1 < options.steps:
                log.figures(step + 1, _evaluated(stage, parameters, ema))
    _write(parameters, ema)
    figures = _evaluated(stage, parameters, ema)
    log.figures(options.steps, figures)
    return figures


def _step(
    stage: Stage,
    parameters: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    options: LoopOptions,
    step: int,
) -> dict[str, float]:
    generator = torch.Generator().manual_seed(options.seed * 1_000_003 + step)
    torch.manual_seed(options.seed * 1_000_003 + step)  # dropout draws from the global one
    for group in optimizer.param_groups:
        group["lr"] = options.learning_rate * _schedule(step, options)
    dtype = compute_dtype(options.device)
    device_type = torch.device(options.device).type
    # Crops and degradations are made outside autocast: in bf16 a pixel's place is rounded to half a pixel.
    batch = stage.draw(options.batch_size, generator, step / options.steps)
    with torch.autocast(device_type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        loss, parts = stage.loss(batch)
    if not torch.isfinite(loss):
        raise FloatingPointError(f"{stage.name}: the loss of step {step} is {float(loss)}, wanted a finite number")
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(parameters.values(), options.gradient_norm)
    optimizer.step()
    return {"loss": float(loss.detach()), **parts}


def _schedule(step: int, options: LoopOptions) -> float:
    """Return the share of the learning rate at a step: linear warm-up, then a cosine to `final_share`."""
    warm = min(1.0, (step + 1) / max(1, options.warmup_steps))
    cosine = 0.5 * (1 + torch.cos(torch.tensor(torch.pi * step / options.steps)).item())
    return warm * (options.final_share + (1 - options.final_share) * cosine)


@torch.no_grad()
def _update_ema(ema: dict[str, Tensor], parameters: Mapping[str, nn.Parameter], decay: float) -> None:
    keys = list(ema)
    torch._foreach_lerp_([ema[k] for k in keys], [parameters[k].detach() for k in keys], 1 - decay)


@torch.no_grad()
def _write(parameters: Mapping[str, nn.Parameter], values: Mapping[str, Tensor]) -> None:
    for name, p in parameters.items():
        p.copy_(values[name])


def _evaluated(stage: Stage, parameters: Mapping[str, nn.Parameter], ema: Mapping[str, Tensor]) -> dict[str, float]:
    """Return the figures of the EMA weights, leaving the training weights as they were."""
    kept = {name: p.detach().clone() for name, p in parameters.items()}
    _write(parameters, ema)
    for module in stage.modules().values():
        module.eval()
    with torch.no_grad():
        figures = stage.evaluate()
    for module in stage.modules().values():
        module.train()
    _write(parameters, kept)
    return figures


def _save(
    workdir: Path,
    parameters: Mapping[str, nn.Parameter],
    ema: Mapping[str, Tensor],
    buffers: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    step: int,
) -> None:
    tensors = checkpoint.pack(parameters, optimizer)
    tensors |= {f"ema/{k}": v for k, v in ema.items()}
    tensors |= {f"buffer/{k}": v.contiguous().clone() for k, v in buffers.items()}
    save_run(workdir / _CHECKPOINT, tensors, step)


def _resume(
    workdir: Path,
    parameters: Mapping[str, nn.Parameter],
    ema: dict[str, Tensor],
    buffers: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> int:
    """Load the checkpoint of `workdir` if there is one; returns the number of steps already done."""
    found = saved_run(workdir / _CHECKPOINT)
    if found is None:
        return 0
    tensors, steps = found
    checkpoint.unpack(tensors, parameters, optimizer)
    with torch.no_grad():
        for name, value in ema.items():
            value.copy_(tensors[f"ema/{name}"])
        for name, value in buffers.items():
            value.copy_(tensors[f"buffer/{name}"])
    return steps


def _bar(quiet: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
        disable=quiet,
    )


class _Log:
    """The run's losses and figures as JSON lines, and as a curve."""

    def __init__(self, workdir: Path, name: str) -> None:
        self._path = workdir / "log.jsonl"
        self._curve = workdir / "loss.png"
        self._name = name
        self._sums: dict[str, float] = {}
        self._count = 0

    def add(self, step: int, parts: Mapping[str, float], every: int = 50) -> None:
        """Add one step; every fiftieth writes the mean of the last fifty."""
        for key, value in parts.items():
            self._sums[key] = self._sums.get(key, 0.0) + value
        self._count += 1
        if (step + 1) % every == 0:
            self._line({"step": step + 1, **{k: v / self._count for k, v in self._sums.items()}})
            self._sums, self._count = {}, 0

    def figures(self, step: int, figures: Mapping[str, float]) -> None:
        """Write held-out figures and draw the curve anew."""
        self._line({"step": step, "held_out": dict(figures)})
        self._draw()

    def _line(self, record: Mapping[str, object]) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def _draw(self) -> None:
        # Imported here: matplotlib takes a second, and most runs draw only at their end.
        from matplotlib import pyplot

        records = [json.loads(line) for line in self._path.read_text().splitlines()]
        points = [(r["step"], r["loss"]) for r in records if "loss" in r]
        figure, axes = pyplot.subplots(figsize=(6, 4))
        axes.plot(*zip(*points, strict=True)) if points else None
        axes.set(xlabel="step", ylabel="loss", title=self._name, yscale="log")
        figure.savefig(self._curve, dpi=100)
        pyplot.close(figure)
