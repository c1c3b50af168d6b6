"""The typed client of an ID-PreFeR service."""

from idprefer_client.client import Client
from idprefer_client.errors import ClientError, ForgedWebhook, JobFailed, Problem, StillRunning, Unreachable
from idprefer_client.webhooks import WebhookEvent, verify_webhook

__all__ = [
    "Client",
    "ClientError",
    "ForgedWebhook",
    "JobFailed",
    "Problem",
    "StillRunning",
    "Unreachable",
    "WebhookEvent",
    "verify_webhook",
]
