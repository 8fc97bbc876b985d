"""Multipart forms: read until their model is known, forwarded while the rest arrives.

The only module of this package that others import. Without it, the core answers a form with 415.
"""

from llmproxy.batteries.uploads.spooled_form import read_form

__all__ = ["read_form"]
