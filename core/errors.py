"""Everything a person can do wrong, by name: each message says what was got, what was wanted, and what to do."""

from typing import ClassVar


class PreferError(Exception):
    """A mistake that a person can mend; `code` is its stable name for programs."""

    code: ClassVar[str] = "error"


class InvalidOption(PreferError):
    """An option is out of its range, or there is none of that name."""

    code = "invalid_option"


class UnreadableImage(PreferError):
    """The bytes are no image that is accepted here."""

    code = "unreadable_image"


class ImageTooLarge(PreferError):
    """The image has more bytes or pixels than are accepted."""

    code = "image_too_large"


class NoFaceFound(PreferError):
    """No face was found where one was wanted."""

    code = "no_face"


class SeveralFaces(PreferError):
    """Several faces were found, and none was chosen."""

    code = "several_faces"


class FaceTooSmall(PreferError):
    """The face has too few pixels to be restored."""

    code = "face_too_small"


class IdentityMismatch(PreferError):
    """The face is clearly another person's than the references'."""

    code = "identity_mismatch"


class NoUsableReference(PreferError):
    """None of the reference photos can be used."""

    code = "no_usable_reference"


class AdapterMismatch(PreferError):
    """The adapter was trained on another base than the bundle's."""

    code = "adapter_mismatch"


class DamagedAdapter(PreferError):
    """The file is no adapter, or not a whole one."""

    code = "damaged_adapter"


class MissingBundle(PreferError):
    """There is no bundle where one was wanted."""

    code = "missing_bundle"


class DamagedBundle(PreferError):
    """A file of the bundle is missing, or is not the one that its manifest names."""

    code = "damaged_bundle"


class UnknownGraph(PreferError):
    """The .onnx file is not of the shape that is known here."""

    code = "unknown_graph"


class NotFinite(PreferError):
    """Numbers came out that are none: a training diverged, or an adapter makes the networks overflow."""

    code = "not_finite"


class Interrupted(PreferError):
    """The work was stopped on request; what was done so far can be resumed from `state`, where there is one."""

    code = "interrupted"

    def __init__(self, message: str, state: object = None) -> None:
        super().__init__(message)
        self.state = state
