"""What a restoration request asks for, whether it came as JSON or as a form."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile

from api.errors import Refusal
from api.requests import ApiRequest, strict_json
from api.schemas.restorations import FaceChoice, NewRestoration

BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": {"$ref": "#/components/schemas/NewRestorationForm"}},
            "application/json": {"schema": {"$ref": "#/components/schemas/NewRestoration"}},
        },
    }
}


@dataclass(frozen=True)
class Wish:
    """A checked request, its photo if it brought one, and the people in it."""

    body: NewRestoration
    image: UploadFile | None

    @property
    def faces(self) -> list[FaceChoice]:
        """Return the people to restore: `identity_id` is short for one face without a box."""
        if self.body.faces is not None:
            return self.body.faces
        return [FaceChoice(identity_id=self.body.identity_id or "")]


async def read_wish(request: Request) -> AsyncIterator[Wish]:
    """Read and check the body: exactly one photo, exactly one way to name people; at the end close its file."""
    assert isinstance(request, ApiRequest)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        form = await request.form()
        try:
            yield _consistent(_from_form(form))
        finally:
            await form.close()
    elif kind == "application/json":
        yield _consistent(Wish(_checked(await request.json(), strict=True), None))
    else:
        detail = f"got content type {kind[:60]!r}; wanted multipart/form-data with `image`, or application/json"
        raise Refusal("unsupported_media_type", detail)


def _from_form(form: FormData) -> Wish:
    files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
    fields = {name: part for name, part in form.multi_items() if isinstance(part, str)}
    if len(files) > 1 or any(name == "image" for name in fields) or len(files) + len(fields) < len(form.multi_items()):
        detail = "got parts that do not fit; wanted one file named `image` and each field once; send it again so"
        raise Refusal("invalid_request", detail)
    if files and "image" not in form:
        raise Refusal("invalid_request", "got a file of another name; wanted it named `image`; rename the part")
    values: dict[str, Any] = dict(fields)
    if "faces" in fields:
        values["faces"] = strict_json(fields["faces"])
    return Wish(_checked(values, strict=False), files[0] if files else None)


def _checked(values: Any, strict: bool) -> NewRestoration:
    try:
        return NewRestoration.model_validate(values, strict=strict)
    except ValidationError as error:
        located = [{**item, "loc": ("body", *item["loc"])} for item in error.errors(include_context=False)]
        raise RequestValidationError(located) from error


def _consistent(wish: Wish) -> Wish:
    body = wish.body
    if (wish.image is None) == (body.upload_id is None):
        detail = "got no photo or two; wanted either the file `image` or an upload_id; send exactly one"
        raise Refusal("invalid_request", detail)
    if (body.identity_id is None) == (body.faces is None):
        detail = "got no person or two ways to name them; wanted either identity_id or faces; send exactly one"
        raise Refusal("invalid_request", detail)
    ids = [face.identity_id for face in wish.faces]
    if len(set(ids)) < len(ids):
        raise Refusal("invalid_request", "got the same identity twice in faces; wanted each once; drop one")
    for box in (face.box for face in wish.faces):
        if box is not None and not (box[0] < box[2] and box[1] < box[3]):
            raise Refusal("invalid_request", "got a box without an area; wanted x0 < x1 and y0 < y1; mend the box")
    return wish


WishOf = Annotated[Wish, Depends(read_wish, scope="function")]
