"""Adapters that are brought back: what they say of themselves is what a training here could have said."""

from typing import Any

import pytest

from tests.api.hand import adapter_file
from tests.api.service import Tenant


def _bring(tenant: Tenant, identity_id: str, **options: Any) -> tuple[int, str]:
    files = {"file": adapter_file(**options)}
    answer = tenant.http.post(f"/v1/identities/{identity_id}/adapters/import", files=files)
    return answer.status_code, answer.json().get("code", "")


@pytest.mark.parametrize("options", [{"note": "Grace Hopper"}, {"targets": "Grace Hopper"}, {"steps": 10**400}])
def test_options_that_no_training_has(tenant: Tenant, options: dict[str, Any]) -> None:
    """Other names, and values that their names do not take, are refused: no free text is kept beside a person."""
    identity_id = tenant.identity()
    assert _bring(tenant, identity_id, **options) == (422, "damaged_adapter")
    assert tenant.http.get(f"/v1/identities/{identity_id}/adapters").json()["data"] == []


def test_options_that_a_training_has(tenant: Tenant) -> None:
    """What a training here writes is let in, and shown."""
    identity_id = tenant.identity()
    assert _bring(tenant, identity_id, targets="all_cross", early_stop=None) == (201, "")
    (shown,) = tenant.http.get(f"/v1/identities/{identity_id}/adapters").json()["data"]
    assert shown["options"] == {"rank": 16, "targets": "all_cross", "early_stop": None}
