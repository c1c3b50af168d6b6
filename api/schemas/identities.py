"""Identities and the consent under which they are processed."""

from typing import Annotated, Literal

from pydantic import Field

from api.schemas.common import Input, Moment, Name, Output, Seconds, Text

Purpose = Literal["train", "restore", "evaluate"]
Method = Literal["electronic_signature", "written_signature", "click_through", "verbal", "guardian"]


class NewIdentity(Input):
    """A person whose photos are to be restored."""

    name: Name
    retention_seconds: Seconds | None = None


class IdentityChange(Input):
    """What may change about an identity; a retention may only get shorter; null leaves a field as it is."""

    name: Name | None = None
    retention_seconds: Seconds | None = None


class Identity(Output):
    """A person: their photos, adapters and restorations hang on this."""

    id: str
    name: str
    state: Literal["draft", "ready", "training", "personalized", "suspended", "erasing", "erased"]
    active_adapter_id: str | None
    retention_seconds: int | None
    created_at: Moment


class NewConsent(Input):
    """Who agreed to what, how, to which text, and who attests it."""

    subject: Annotated[Name, Field(description="Your own reference to the person who agreed.")]
    attested_by: Annotated[Name, Field(description="Who witnessed it.")]
    method: Method
    purposes: Annotated[list[Purpose], Field(min_length=1, max_length=3)]
    text_version: Name
    text: Annotated[str, Field(min_length=1, max_length=20_000, description="The text agreed to; its hash is kept.")]
    jurisdiction: Annotated[str, Field(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$", description="ISO 3166, e.g. DE, US-IL.")]
    valid_for_seconds: Seconds | None = None


class Consent(Output):
    """A consent record; without a live one nothing is processed."""

    id: str
    identity_id: str
    subject: str
    attested_by: str
    method: str
    purposes: list[str]
    text_version: str
    text_sha256: str
    policy_sha256: Annotated[str | None, Field(description="The use policy it was given under: its SHA-256.")]
    jurisdiction: str
    created_at: Moment
    expires_at: Moment | None
    withdrawn_at: Moment | None


class Withdrawal(Input):
    """Which purposes are withdrawn (all, if none is named), and why."""

    purposes: Annotated[list[Purpose], Field(min_length=1, max_length=3)] | None = None
    reason: Text | None = None


class Withdrawn(Output):
    """A withdrawn consent and the erasure it started, if any."""

    consent: Consent
    erasure_id: str | None
