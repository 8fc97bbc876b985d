"""The members that a writer leaves out, by their paths in the client's request."""

from __future__ import annotations

from llmproxy.batteries.translation.hub import Question


class Losses:
    """Collects the members that a writer leaves out. Mutable; one for each request."""

    __slots__ = ("_question", "hints", "lost")

    def __init__(self, question: Question) -> None:
        self._question = question
        self.lost: list[str] = []
        self.hints: list[str] = []

    def part(self, path: str) -> None:
        """Note a part, or a tool, that cannot be said."""
        self.lost.append(path)

    def member(self, name: str) -> None:
        """Note a member of the Question, or of its `also`, that cannot be said."""
        self.lost.append(self._question.path_of(name))

    def hint(self, path: str) -> None:
        """Note a part, or a tool, without which the answer is as good."""
        if path not in self.hints:
            self.hints.append(path)

    def hinted_member(self, name: str) -> None:
        """Note a member of the Question, or of its `also`, without which the answer is as good."""
        self.hint(self._question.path_of(name))
