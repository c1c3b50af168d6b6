"""What a worker process keeps warm: the one backbone, and the adapters used last, counted in bytes."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from torch import Tensor

from core.backbone import Backbone, load_backbone
from core.injector import Adapter


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
        return load_backbone(self.folder, self.device)


class AdapterCache:
    """Adapters by id, the least recently used thrown out first; one that many ask for is loaded once."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._loading: dict[str, Future[Adapter]] = {}
        self._lock = threading.Lock()

    def get(self, adapter_id: str, identity_id: str, load: Callable[[], Adapter]) -> Adapter:
        """Return an adapter from memory, or load it; a failure to load is everybody's who waits for it."""
        with self._lock:
            if adapter_id in self._kept:
                self._kept.move_to_end(adapter_id)
                return self._kept[adapter_id].adapter
            future = self._loading.get(adapter_id)
            mine = future is None
            if future is None:
                future = self._loading[adapter_id] = Future()
        if not mine:
            return future.result()
        return self._load(adapter_id, identity_id, load, future)

    def warm(self) -> list[str]:
        """Return the ids of the adapters in memory, the most recently used first."""
        with self._lock:
            return list(reversed(self._kept))

    def forget(self, identity_id: str | None = None) -> None:
        """Throw out the adapters of one person, or all of them: who is erased must not stay in memory."""
        with self._lock:
            for adapter_id, kept in list(self._kept.items()):
                if identity_id in (None, kept.identity_id):
                    del self._kept[adapter_id]

    def _load(self, adapter_id: str, identity_id: str, load: Callable[[], Adapter], future: Future[Adapter]) -> Adapter:
        try:
            adapter = load()
        except BaseException as error:
            future.set_exception(error)
            raise
        else:
            future.set_result(adapter)
            self._keep(adapter_id, _Kept(adapter, identity_id, sum(t.nbytes for t in _tensors(adapter))))
            return adapter
        finally:
            with self._lock:
                del self._loading[adapter_id]

    def _keep(self, adapter_id: str, kept: "_Kept") -> None:
        with self._lock:
            self._kept[adapter_id] = kept
            while len(self._kept) > 1 and sum(k.size_bytes for k in self._kept.values()) > self._limit_bytes:
                self._kept.popitem(last=False)


@dataclass(frozen=True)
class _Kept:
    """One adapter in memory, and whose it is."""

    adapter: Adapter
    identity_id: str
    size_bytes: int


def _tensors(adapter: Adapter) -> Iterator[Tensor]:
    yield from adapter.lora.values()
    yield from (adapter.prompt.embeds, adapter.prompt.pooled, adapter.identity.first, adapter.identity.second)
    yield from (adapter.references, adapter.second_references)
