"""A tiny random bundle, and adapters and references that fit it."""

from pathlib import Path

import pytest
import torch

from core.backbone import Backbone, load_backbone
from core.images import Photo
from core.injector import Adapter, lora_shapes
from core.options import TrainOptions
from core.quality import Quality
from core.references import Reference
from core.tokens import IDENTITY_TOKENS, PromptEmbeds, TokenVectors, encode_prompt
from lab.pretrain.bundle import write_tiny_bundle
from tests.core.scene_of_two import LEFT, RIGHT, rewritten
from tests.tiny_bundle import photo_of, write_whole_bundle


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle on disk."""
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny", seed=0)


@pytest.fixture(scope="session")
def backbone(tiny_folder: Path) -> Backbone:
    """The tiny bundle, loaded; no test may change it."""
    return load_backbone(tiny_folder)


@pytest.fixture(scope="session")
def references(backbone: Backbone) -> list[Reference]:
    """Three reference photos of nobody: two good ones and a bad one."""
    generator = torch.Generator().manual_seed(3)
    judged = ((0.9, ("sharp",)), (0.8, ("sharp",)), (0.2, ("blurry", "noisy")))
    side = backbone.resolution
    return [
        Reference(torch.rand(3, side, side, generator=generator) * 2 - 1, Quality(score, words))
        for score, words in judged
    ]


def made_adapter(backbone: Backbone, seed: int, **changes: object) -> Adapter:
    """Return an adapter of random weights, as strong as a trained one."""
    generator = torch.Generator().manual_seed(seed)
    options = TrainOptions.preset("fast", **changes)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    lora = {
        name: (drawn(*shape) * 0.2).half()
        for name, shape in lora_shapes(backbone.unet, options.targets, options.rank).items()
    }
    first, second = (encoder.config.hidden_size for encoder in (backbone.text_encoder, backbone.text_encoder_2))
    identity = TokenVectors(drawn(IDENTITY_TOKENS, first), drawn(IDENTITY_TOKENS, second))
    with torch.no_grad():
        prompt = encode_prompt(backbone, identity)
    embeddings = torch.nn.functional.normalize(drawn(2, backbone.recognizer.embedding_size), dim=-1)
    metadata = {
        "bundle": backbone.name,
        "base_digest": backbone.base_digest,
        "recognizers": [backbone.manifest["files"]["faces/recognition.onnx"], None],
        "options": options.as_dict(),
        "quality_report": [{"score": 0.9, "words": ["sharp"], "held_out": False}] * 2,
        "training": {"steps": 1, "kept_step": 1, "held_out_identity": None},
    }
    return Adapter(lora, PromptEmbeds(prompt.embeds, prompt.pooled), identity, embeddings, torch.zeros(2, 0), metadata)


@pytest.fixture(scope="session")
def alice(backbone: Backbone) -> Adapter:
    """One person's adapter."""
    return made_adapter(backbone, seed=1)


@pytest.fixture(scope="session")
def bob(backbone: Backbone) -> Adapter:
    """Another person's adapter."""
    return made_adapter(backbone, seed=2)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """The tiny bundle with a detector of marks and a second recognizer; no test may change it."""
    backbone = load_backbone(write_whole_bundle(tmp_path_factory.mktemp("bundle") / "tiny"))
    return rewritten(backbone, {"first": [-1.0, 1.0], "second": [-1.0, 1.0]})  # nobody is refused


@pytest.fixture(scope="session")
def two() -> Photo:
    """A photo of two people."""
    return photo_of(LEFT, RIGHT)


@pytest.fixture(scope="session")
def alice_here(whole: Backbone) -> Adapter:
    """One person's adapter on this bundle."""
    return made_adapter(whole, seed=1)


@pytest.fixture(scope="session")
def bob_here(whole: Backbone) -> Adapter:
    """Another person's."""
    return made_adapter(whole, seed=2)
