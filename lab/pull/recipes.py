"""Which repositories a bundle is put together from, under which licences, and where each file goes."""

from dataclasses import dataclass, replace

from core.errors import InvalidOption

_HUB = "https://huggingface.co"
_WEIGHTS = "diffusion_pytorch_model.safetensors"


@dataclass(frozen=True)
class Component:
    """Files of one repository."""

    name: str
    repository: str
    files: dict[str, str]  # path in the bundle -> path in the repository
    licence: str | None  # None: as the repository's model card says
    terms: str  # where to read it
    non_commercial: bool = False


@dataclass(frozen=True)
class Recipe:
    """A bundle to be put together."""

    name: str
    about: str
    resolution: int  # px
    components: tuple[Component, ...]


def _diffusers(part: str, folder: str = "", weights: str = _WEIGHTS) -> dict[str, str]:
    """Return the two files of a network in diffusers layout; a variant's name is left behind."""
    prefix = f"{folder}/" if folder else ""
    return {f"{part}/config.json": f"{prefix}config.json", f"{part}/{_WEIGHTS}": f"{prefix}{weights}"}


def _text_encoder(part: str) -> dict[str, str]:
    return {f"{part}/config.json": f"{part}/config.json", f"{part}/model.safetensors": f"{part}/model.fp16.safetensors"}


def _tokenizer(part: str) -> dict[str, str]:
    names = ("merges.txt", "special_tokens_map.json", "tokenizer_config.json", "vocab.json")
    return {f"{part}/{name}": f"{part}/{name}" for name in names}


_BASE = Component(
    name="base",
    repository="stabilityai/stable-diffusion-xl-base-1.0",
    files={
        **_diffusers("unet", "unet", "diffusion_pytorch_model.fp16.safetensors"),
        **_text_encoder("text_encoder"),
        **_text_encoder("text_encoder_2"),
        **_tokenizer("tokenizer"),
        **_tokenizer("tokenizer_2"),
        "scheduler/scheduler_config.json": "scheduler/scheduler_config.json",
    },
    licence="CreativeML Open RAIL++-M",
    terms=f"{_HUB}/stabilityai/stable-diffusion-xl-base-1.0/blob/main/LICENSE.md",
)
_TILE = Component(
    name="controlnet",
    repository="xinsir/controlnet-tile-sdxl-1.0",
    files=_diffusers("controlnet"),
    licence="Apache-2.0",
    terms=f"{_HUB}/xinsir/controlnet-tile-sdxl-1.0",
)
SDXL = Recipe(
    name="sdxl",
    about="SDXL base 1.0 with the fp16-fixed VAE, TAESDXL and a restoration ControlNet",
    resolution=512,
    components=(
        _BASE,
        Component(  # the original VAE overflows in fp16
            name="vae",
            repository="madebyollin/sdxl-vae-fp16-fix",
            files=_diffusers("vae"),
            licence="MIT",
            terms=f"{_HUB}/madebyollin/sdxl-vae-fp16-fix",
        ),
        Component(
            name="preview_decoder",
            repository="madebyollin/taesdxl",
            files=_diffusers("preview_decoder"),
            licence="MIT",
            terms=f"{_HUB}/madebyollin/taesdxl",
        ),
        _TILE,
    ),
)
RECIPES = {recipe.name: recipe for recipe in (SDXL,)}
# Restoration ControlNets whose authors allow research only.
_RESEARCH_ONLY = ("thomas2modyu/FaceMe", "Ethanliang99/AuthFace")


def recipe_named(name: str) -> Recipe:
    """Return a recipe; InvalidOption for a name that is none."""
    if name not in RECIPES:
        raise InvalidOption(f"got bundle {name!r} to pull, wanted one of {', '.join(RECIPES)}")
    return RECIPES[name]


def with_controlnet(recipe: Recipe, place: str) -> Recipe:
    """Return the recipe with the ControlNet of another repository: OWNER/NAME, or OWNER/NAME/FOLDER."""
    owner, _, rest = place.partition("/")
    name, _, folder = rest.partition("/")
    if not owner or not name:
        raise InvalidOption(f"got --controlnet {place!r}, wanted OWNER/NAME or OWNER/NAME/FOLDER of a hub repository")
    repository = f"{owner}/{name}"
    other = Component(
        name="controlnet",
        repository=repository,
        files=_diffusers("controlnet", folder),
        licence=None,
        terms=f"{_HUB}/{repository}",
        non_commercial=repository in _RESEARCH_ONLY,
    )
    kept = tuple(component for component in recipe.components if component.name != "controlnet")
    return replace(recipe, components=(*kept, other))
