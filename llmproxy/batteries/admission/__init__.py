"""Admission control: a bound on the calls in flight, and a short queue in front of it.

The only module of this package that others import. Without it, every call begins at once, and a
config that sets the bounds is refused.
"""

from __future__ import annotations

from llmproxy.batteries.admission.bounded import BoundedAdmission

__all__ = ["BoundedAdmission"]
