"""Multipart forms, read whole: the vendor's bodies are small (RFC 7578)."""

from __future__ import annotations

import re

import msgspec

from llmproxy.tools.simulator.errors import VendorError
from llmproxy.tools.simulator.exchange import ApiCall

_BOUNDARY = re.compile(r'boundary="?([^";,]+)"?', re.IGNORECASE)
_PARAMETER = re.compile(rb'\b(name|filename)="([^"]*)"')


class FormFile(msgspec.Struct, frozen=True):
    """A file in a form."""

    name: str
    content: bytes


class Form(msgspec.Struct):
    """`fields` keeps the last value of a repeated name, `files` the first file of one."""

    fields: dict[str, str] = msgspec.field(default_factory=dict)
    files: dict[str, FormFile] = msgspec.field(default_factory=dict)

    def file(self, *names: str) -> FormFile:
        """The file under one of the names. Raises VendorError (400)."""
        for name in names:
            for key in (name, f"{name}[]"):
                if key in self.files:
                    return self.files[key]
        raise VendorError(400, f"Missing required file: '{names[0]}'.", param=names[0])

    def is_true(self, name: str) -> bool:
        """Whether a field is there and true."""
        return self.fields.get(name, "").lower() in ("true", "1")


def read_form(call: ApiCall) -> Form:
    """The form in a request's body. Raises VendorError (400)."""
    found = _BOUNDARY.search(call.headers.get("content-type", ""))
    if found is None:
        raise VendorError(400, "Expected multipart/form-data with a boundary.")
    form = Form()
    delimiter = b"\r\n--" + found[1].strip().encode("latin-1")
    parts = (b"\r\n" + call.body).split(delimiter)
    if len(parts) < 2 or not parts[-1].startswith(b"--"):
        raise VendorError(400, "The form is not complete: its last boundary is missing.")
    for part in parts[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        named = {key: value.decode("utf-8", "replace") for key, value in _PARAMETER.findall(head)}
        name = named.get(b"name", "")
        if b"filename" in named:
            form.files.setdefault(name, FormFile(named[b"filename"], content))
        else:
            form.fields[name] = content.decode("utf-8", "replace")
    return form
