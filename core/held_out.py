"""How alike a training makes a photo that it does not learn from: the held-out ID, by which the best step is kept."""

import torch
from torch import Tensor

from core.arcface import to_arcface_frame
from core.backbone import Backbone
from core.losses import noised, predicted_latents
from core.predictions import Noised
from core.references import EncodedReferences
from core.tokens import PromptEmbeds

_JUDGED_AT = (0.35, 0.55, 0.75)  # shares of the schedule


def held_out_batch(backbone: Backbone, judged: EncodedReferences, y: PromptEmbeds, seed: int) -> Noised:
    """Return the photo kept out under a few noise levels, led by the one prompt y alone."""
    scheduler = backbone.scheduler
    last = scheduler.config.num_train_timesteps - 1
    t = torch.tensor([round(share * last) for share in _JUDGED_AT], device=backbone.device)
    z = judged.means[0, :1].expand(len(t), -1, -1, -1)
    noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(seed)).to(z)
    return Noised(noised(scheduler, z, noise, t), t, y.expand(len(t)))


def held_out_identity(backbone: Backbone, batch: Noised, noise_pred: Tensor, judged: EncodedReferences) -> float:
    """Return the mean cosine of the photo kept out and its x0-hat."""
    faces = embedded_latents(backbone, predicted_latents(backbone.scheduler, batch.z_t, noise_pred, batch.t))
    return float((faces @ judged.embeddings[0]).mean())


def embedded_latents(backbone: Backbone, latents: Tensor) -> Tensor:
    """Return the guidance recognizer's embeddings (B, D) of latents, in fp32, through the preview decoder."""
    x = backbone.preview(latents).float()
    with torch.autocast(x.device.type, enabled=False):
        return backbone.recognizer(to_arcface_frame(x)).float()
