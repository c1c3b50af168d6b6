"""What a worker process keeps warm: the one backbone, and the adapters and references used last, counted in bytes."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Generic, TypeVar

import torch
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from core.assessment import Assessment
from core.backbone import Backbone, load_backbone
from core.injector import Adapter

T = TypeVar("T")


@dataclass
class Networks:
    """The backbone of this process, loaded at its first use and then kept."""

    folder: Path
    device: str
    _loading: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def backbone(self) -> Backbone:
        """Return the backbone; whoever asks first waits for it, and nobody loads it twice."""
        with self._loading:
            return self._backbone

    @cached_property
    def _backbone(self) -> Backbone:
        for logging in (diffusers_logging, transformers_logging):  # what they say of our own configs helps nobody
            logging.set_verbosity_error()
            logging.disable_progress_bar()
        return load_backbone(self.folder, _chosen(self.device))


def _chosen(device: str) -> str:
    """Return the device that is meant; auto: the accelerator there is, else the CPU."""
    if device != "auto":
        return device
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return "cpu" if accelerator is None else accelerator.type


class Warm(Generic[T]):
    """Things of people in memory, the least recently used thrown out first; one that many ask for is loaded once."""

    def __init__(self, limit_bytes: int, size_bytes: Callable[[T], int]) -> None:
        self._limit_bytes, self._size_bytes = limit_bytes, size_bytes
        self._kept: OrderedDict[str, _Kept[T]] = OrderedDict()
        self._loading: dict[str, Future[T]] = {}
        self._gone: set[str] = set()  # ids are never used twice
        self._lock = threading.Lock()

    def get(self, key: str, identity_id: str, load: Callable[[], T]) -> T:
        """Return a thing from memory, or load it; a failure to load is everybody's who waits for it."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key].value
            future = self._loading.get(key)
            mine = future is None
            if future is None:
                future = self._loading[key] = Future()
        if not mine:
            return future.result()
        return self._load(key, identity_id, load, future)

    def keys(self) -> list[str]:
        """Return what is in memory, the most recently used first."""
        with self._lock:
            return list(reversed(self._kept))

    def forget(self, owner_id: str) -> None:
        """Throw out a thing, or all of a person's: who is erased must not stay in memory, nor come back late."""
        with self._lock:
            self._gone.add(owner_id)
            for key, kept in list(self._kept.items()):
                if owner_id in (key, kept.identity_id):
                    del self._kept[key]

    def _load(self, key: str, identity_id: str, load: Callable[[], T], future: Future[T]) -> T:
        try:
            value = load()
        except BaseException as error:
            future.set_exception(error)
            raise
        else:
            future.set_result(value)
            self._keep(key, _Kept(value, identity_id, self._size_bytes(value)))
            return value
        finally:
            with self._lock:
                del self._loading[key]

    def _keep(self, key: str, kept: "_Kept[T]") -> None:
        with self._lock:
            if self._gone & {key, kept.identity_id}:
                return
            self._kept[key] = kept
            while len(self._kept) > 1 and sum(k.size_bytes for k in self._kept.values()) > self._limit_bytes:
                self._kept.popitem(last=False)


@dataclass(frozen=True)
class _Kept(Generic[T]):
    """One thing in memory, and whose it is."""

    value: T
    identity_id: str
    size_bytes: int


class Caches:
    """What one worker process holds of people: their adapters, and their references as they are aligned."""

    def __init__(self, limit_bytes: int) -> None:
        self.adapters: Warm[Adapter] = Warm(limit_bytes, adapter_bytes)
        self.references: Warm[Assessment] = Warm(limit_bytes // 4, _assessment_bytes)

    def forget(self, owner_id: str) -> None:
        """Throw out an adapter, or all that is one person's."""
        self.adapters.forget(owner_id)
        self.references.forget(owner_id)


def adapter_bytes(adapter: Adapter) -> int:
    """Return how much memory an adapter takes."""
    small = (adapter.prompt.embeds, adapter.prompt.pooled, adapter.identity.first, adapter.identity.second)
    tensors = [*adapter.lora.values(), *small, adapter.references, adapter.second_references]
    return sum(tensor.nbytes for tensor in tensors)


def _assessment_bytes(assessment: Assessment) -> int:
    return 0 if assessment.reference is None else assessment.reference.crop.nbytes
