"""What an exception holds besides its message: the frames that it came through."""

from __future__ import annotations


def forget_frames(error: BaseException | None) -> None:
    """Forget where an exception and its causes were raised, once that is of no use.

    Those frames hold the request with its body, and the exception itself: only a full garbage
    collection would free them.
    """
    while error is not None and error.__traceback__ is not None:  # causes may go in a circle
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
