"""What a training brings, published as a worker publishes it; and an adapter's bytes."""

import json
from typing import Any

import numpy as np

from store import adapters
from store.adapter_bytes import FORMAT
from store.leases import Claim
from store.models import Adapter
from tests.store.archive import Archive

LABEL = {"bundle": "tiny", "base_digest": "base-1", "options": {"rank": 16}}


def publish(archive: Archive, claim: Claim, data: bytes = b"an adapter") -> Adapter:
    """Publish an adapter for the training that a claim is for."""
    tenant_id, owner = claim.lease.tenant_id, claim.identity_id or ""
    with archive.of(tenant_id) as session:
        name = f"{claim.lease.job_id}/{claim.lease.epoch}/adapter"
        blob = archive.safe.put(session, tenant_id, owner, "adapter", name, data)
        built = adapters.Built(blob, "digest", "tiny", "base-1", len(data), {"identity": 0.6})
        return adapters.publish(session, claim.lease, built, {"compute_seconds": 9.0})


def adapter_bytes(label: Any = LABEL, **tensors: np.ndarray) -> bytes:
    """Return a safetensors file with an adapter's label."""
    tensors = tensors or {"lora.up": np.ones((4, 2), np.float16), "prompt.embeds": np.zeros(3, np.float32)}
    header: dict[str, Any] = {"__metadata__": {FORMAT: json.dumps(label)}}
    body = b""
    for name, value in tensors.items():
        kind = {"float16": "F16", "float32": "F32", "int64": "I64"}[str(value.dtype)]
        offsets = [len(body), len(body) + value.nbytes]
        header[name] = {"dtype": kind, "shape": list(value.shape), "data_offsets": offsets}
        body += value.tobytes()
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body
