"""[V] and the Q_i of one training: where they start, and the prompts that hold them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from core.backbone import Backbone
from core.references import Reference
from core.tokens import (
    IDENTITY_TOKENS,
    Prompt,
    PromptEmbeds,
    TokenVectors,
    encode_prompts,
    project_identity,
    word_vectors,
)


class LearnedTokens:
    """Vectors for the text encoders' input: one [V] of the person, and a Q_i for each reference if wanted."""

    def __init__(
        self,
        backbone: Backbone,
        identity: Tensor,
        references: Sequence[Reference],
        generator: torch.Generator,
        *,
        quality: bool,
    ) -> None:
        """[V] starts from the projection of `identity` (D,), or else from the word "person", Q_i from its words."""
        self._backbone, self._count, self._quality = backbone, len(references), quality
        if backbone.identity_projection is not None:
            start = project_identity(backbone, identity)
        else:
            person = word_vectors(backbone, ["person"])
            start = TokenVectors(*(_spread(table, generator) for table in (person.first, person.second)))
        tokens = {"identity.first": start.first, "identity.second": start.second}
        for i, reference in enumerate(references if quality else ()):
            words = word_vectors(backbone, reference.quality.words)
            tokens |= {f"quality{i}.first": words.first, f"quality{i}.second": words.second}
        self.parameters = {name: nn.Parameter(value.detach().float().clone()) for name, value in tokens.items()}

    @property
    def identity(self) -> TokenVectors:
        """Return [V]."""
        return self._vectors("identity")

    def prompts(self, references: Sequence[int] | None = None) -> PromptEmbeds:
        """Encode y with the Q_i of some references, or of all of them, in order."""
        wanted = range(self._count) if references is None else references
        qualities = [self._vectors(f"quality{i}") if self._quality else None for i in wanted]
        return encode_prompts(self._backbone, [Prompt(self.identity, quality) for quality in qualities])

    def _vectors(self, name: str) -> TokenVectors:
        return TokenVectors(self.parameters[f"{name}.first"], self.parameters[f"{name}.second"])


def _spread(table: Tensor, generator: torch.Generator) -> Tensor:
    """Return IDENTITY_TOKENS vectors about the mean of a word's rows, so that they do not all learn the same."""
    middle = table.mean(0, keepdim=True)
    spread = torch.randn(IDENTITY_TOKENS, table.shape[1], generator=generator).to(table)
    return middle + 0.1 * middle.std() * spread
