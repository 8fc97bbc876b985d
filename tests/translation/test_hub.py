"""The hub's own rules: turns alternate."""

from llmproxy.batteries.translation.hub import PlainText, Question, Role, Said, alternating


def said(role: Role, *texts: str) -> Said:
    return Said(role, tuple(PlainText(text=text) for text in texts))


def test_neighbouring_turns_of_one_role_become_one() -> None:
    turns = [said(Role.USER, "a"), said(Role.USER, "b"), said(Role.ASSISTANT, "c")]
    assert alternating(turns) == (said(Role.USER, "a", "b"), said(Role.ASSISTANT, "c"))


def test_a_member_is_named_as_the_client_calls_it() -> None:
    question = Question(paths={"stop": "stop_sequences"})
    assert (question.path_of("stop"), question.path_of("top_k")) == ("stop_sequences", "top_k")
