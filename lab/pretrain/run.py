"""`idprefer pretrain STAGE`: data in, one more trained network of a bundle out."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from torch import Tensor

from core.arcface import IResNet, export_onnx, load_recognizer
from core.quality import QualityNet, save_quality
from lab.judges.dlib_resnet import DlibResnet
from lab.pretrain import autoencoder, bundle, networks
from lab.pretrain.autoencoder import DecoderStage
from lab.pretrain.backbone import BackboneStage, FaceOfLatents
from lab.pretrain.calibration import calibration
from lab.pretrain.data import centre_crops, load_photos, read_pixels, split
from lab.pretrain.detector import DetectorStage
from lab.pretrain.landmarks import LandmarkNet, LandmarkStage, export_landmarks
from lab.pretrain.linear_codec import write_linear_encoder
from lab.pretrain.loop import LoopOptions, train
from lab.pretrain.pool import load_pool
from lab.pretrain.quality import QualityStage
from lab.pretrain.recognizer import RecognizerStage, arcface_crops, load_taught_faces
from lab.pretrain.scenes import load_scenes, portrait_scenes
from lab.pretrain.scrfd import Scrfd, export_scrfd
from lab.pretrain.second import SecondStage, load_labelled_faces

Figures = dict[str, float]

# A good start; --steps, --batch-size and --learning-rate change them. mini's own steps stand in its model card.
DEFAULTS = {
    "seal": LoopOptions(steps=1, batch_size=1, learning_rate=1e-3),
    "encoder": LoopOptions(steps=1, batch_size=1, learning_rate=1e-3),
    "autoencoder": LoopOptions(steps=6000, batch_size=8, learning_rate=1e-3, ema_decay=0.995),
    "recognizer": LoopOptions(steps=1100, batch_size=64, learning_rate=2e-3, ema_decay=0.995, gradient_norm=5.0),
    "second": LoopOptions(steps=1200, batch_size=64, learning_rate=2e-3, ema_decay=0.995, gradient_norm=5.0),
    "detector": LoopOptions(steps=2500, batch_size=16, learning_rate=2e-3, ema_decay=0.995, gradient_norm=5.0),
    "landmarks": LoopOptions(steps=4000, batch_size=64, learning_rate=2e-3, ema_decay=0.995, gradient_norm=5.0),
    "quality": LoopOptions(steps=1500, batch_size=32, learning_rate=2e-3, ema_decay=0.99, gradient_norm=5.0),
    "backbone": LoopOptions(steps=6000, batch_size=32, learning_rate=6e-4),
}
ABOUT_MINI = {
    "name": "mini",
    "about": "the embedded default: SDXL's classes at 128 px, trained from scratch on a few thousand portraits",
    "resolution": 128,
    "training": {"token_learning_rate": 2e-2},
    "licences": {
        "weights": "Apache-2.0",
        "recognizers": "Apache-2.0; trained on LFW too, a research benchmark: see README.md beside this file",
    },
}
_VERSIONS = 5  # random crops of each photo


def pretrain(stage: str, data: Path, folder: Path, work: Path, options: LoopOptions) -> Figures:
    """Train one stage of the bundle in `folder` and write it there; returns its held-out figures.

    `work` keeps checkpoints, loss curve and prepared data: a second call with the same `work` goes on.
    """
    torch.manual_seed(options.seed)
    return _STAGES[stage](data, folder, work / stage, options)


def _encoder(data: Path, folder: Path, work: Path, options: LoopOptions) -> Figures:
    """Write the encoder; the decoders beside it are still untrained."""
    del work, options
    training, held_out = split(load_photos(data))
    vae = networks.new_vae()
    write_linear_encoder(vae, centre_crops(training.pixels, 128))
    autoencoder.save(vae, networks.new_preview_decoder(), autoencoder.latent_scale(vae, training), folder)
    with torch.no_grad():
        latents = vae.encode(centre_crops(held_out.pixels, 128)).latent_dist.mean
    return {"latent_std": float(latents.std() * vae.config.scaling_factor)}


def _autoencoder(data: Path, folder: Path, work: Path, options: LoopOptions) -> Figures:
    training, held_out = split(load_photos(data))
    vae = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32)
    preview = AutoencoderTiny.from_pretrained(folder / "preview_decoder", torch_dtype=torch.float32)
    figures = train(DecoderStage(training, held_out, vae, preview), options, work)
    autoencoder.save(vae, preview, vae.config.scaling_factor, folder)
    return figures


def _recognizer(data: Path, folder: Path, work: Path, options: LoopOptions) -> Figures:
    recognizer = IResNet(layers=(2, 2, 2, 2), widths=(16, 48, 96, 160), embedding_size=128)
    faces = load_taught_faces(data, DlibResnet(), work)
    figures = train(RecognizerStage(faces, tuning_faces(data), recognizer), options, work)
    _write_recognizer(recognizer, folder / "faces")
    return figures


def _second(data: Path, folder: Path, work: Path, options: LoopOptions) -> Figures:
    recognizer = IResNet(layers=(1, 2, 1, 1), widths=(16, 32, 48, 64), embedding_size=96)
    training, _ = split(load_photos(data))
    faces = load_labelled_faces(data, training)
    figures = train(SecondStage(faces, tuning_faces(data), recognizer), options, work)
    _write_recognizer(recognizer, folder / "second_recognizer")
    return figures


def _backbone(data: Path, folder: Path, work: Path, options: LoopOptions) -> Figures:
    training, held_out = split(load_photos(data))
    vae = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32).eval()
    recognizer = load_recognizer(folder / "faces" / "recognition.onnx").eval()
    pool = load_pool(training, _VERSIONS, vae, recognizer, work / "pool")
    held_pool = load_pool(held_out, 1, vae, recognizer, work / "held-out")
    trained = bundle.new_backbone_networks(pool.embeddings.shape[-1], networks.MINI)
    if options.start is not None:
        bundle.start_from(trained, options.start)
    preview = AutoencoderTiny.from_pretrained(folder / "preview_decoder", torch_dtype=torch.float32)
    stage = BackboneStage(pool, held_pool, trained, FaceOfLatents(preview, recognizer))
    figures = train(stage, options, work)
    bundle.write_backbone(trained, folder)
    return figures


def _detector(data: Path, folder: Path, work: Path, options: LoopOptions) -> Figures:
    training, held_out = load_scenes(data)
    portraits = portrait_scenes(split(load_photos(data))[0])
    network = Scrfd()
    figures = train(DetectorStage(training, portraits, held_out, network), options, work)
    (folder / "faces").mkdir(parents=True, exist_ok=True)
    export_scrfd(network.eval(), folder / "faces" / "detection.onnx")
    return figures


def _landmarks(data: Path, folder: Path, work: Path, options: LoopOptions) -> Figures:
    training, held_out = load_scenes(data)
    portraits = portrait_scenes(split(load_photos(data))[0])
    network = LandmarkNet()
    figures = train(LandmarkStage(training, portraits, held_out, network, folder / "faces"), options, work)
    export_landmarks(network, folder / "faces" / "landmarks.onnx")
    return figures


def _quality(data: Path, folder: Path, work: Path, options: LoopOptions) -> Figures:
    training, held_out = split(load_photos(data))
    network = QualityNet()
    figures = train(QualityStage(training, held_out, network), options, work)
    save_quality(network, folder / "quality")
    return figures


def _seal(data: Path, folder: Path, work: Path, options: LoopOptions) -> Figures:
    """Calibrate the recognizers and write the manifest: last, when every network is there."""
    del work, options
    measured = calibration(folder, *tuning_faces(data))
    bundle.seal(folder, {**ABOUT_MINI, "calibration": measured})
    return {"target_cosine": float(str(measured["target_cosine"]))}


def tuning_faces(data: Path) -> tuple[Tensor, list[str]]:
    """Return ArcFace-frame crops (N, 3, 112, 112) in uint8 of the tuning people, person_00 to person_14, and names."""
    files = [f for f in sorted((data / "people").glob("*/*.jpg")) if int(f.parent.name[-2:]) < 15]
    return arcface_crops(read_pixels(files)), [file.parent.name for file in files]


def _write_recognizer(recognizer: IResNet, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    export_onnx(recognizer.eval(), folder / "recognition.onnx")


def with_changes(stage: str, **changes: object) -> LoopOptions:
    """Return a stage's default options with those of the changes that are not None."""
    return replace(DEFAULTS[stage], **{k: v for k, v in changes.items() if v is not None})  # type: ignore[arg-type]


_STAGES: dict[str, Callable[[Path, Path, Path, LoopOptions], Figures]] = {
    "encoder": _encoder,
    "autoencoder": _autoencoder,
    "recognizer": _recognizer,
    "second": _second,
    "detector": _detector,
    "landmarks": _landmarks,
    "quality": _quality,
    "backbone": _backbone,
    "seal": _seal,
}
