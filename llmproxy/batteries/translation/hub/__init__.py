"""The hub of the translation: what a call asks and what a model answers, in no dialect's words.

    request of dialect A -> Question -> request of dialect B
    answer of dialect B -> ModelAnswer -> answer of dialect A
    stream of dialect B -> events -> stream of dialect A

Each dialect has readers, which make these values, and writers, which take them. Three dialects so
give six pairs, and no reader knows which writer follows.

What is known of a value but has no place here is not carried, and is named: a reader puts the path
of the member into `Question.unknown`, a writer into `WrittenQuestion.lost`. Paths are those of the
client's request: `tools[2].strict`, `messages[0].content[1]`, `top_k`.
"""

from llmproxy.batteries.translation.hub.answer import (
    AnswerTokens,
    FinishReason,
    ModelAnswer,
    ModelFailure,
)
from llmproxy.batteries.translation.hub.events import (
    AnswerEvent,
    AnswerFailed,
    AnswerFinished,
    AnswerStarted,
    PartEnded,
    PartGrew,
    PartStarted,
    SignOfLife,
)
from llmproxy.batteries.translation.hub.language import (
    Destination,
    EventReader,
    EventWriter,
    Language,
    UnreadableAnswer,
    WrittenQuestion,
)
from llmproxy.batteries.translation.hub.parts import (
    Attachment,
    CacheMark,
    Part,
    Picture,
    PlainText,
    Refusal,
    Thinking,
    ToolCall,
    ToolResult,
)
from llmproxy.batteries.translation.hub.question import (
    AnswerFormat,
    Question,
    Reasoning,
    Role,
    Said,
    Tool,
    ToolChoice,
    ToolChoiceKind,
    alternating,
)

__all__ = [
    "AnswerEvent",
    "AnswerFailed",
    "AnswerFinished",
    "AnswerFormat",
    "AnswerStarted",
    "AnswerTokens",
    "Attachment",
    "CacheMark",
    "Destination",
    "EventReader",
    "EventWriter",
    "FinishReason",
    "Language",
    "ModelAnswer",
    "ModelFailure",
    "Part",
    "PartEnded",
    "PartGrew",
    "PartStarted",
    "Picture",
    "PlainText",
    "Question",
    "Reasoning",
    "Refusal",
    "Role",
    "Said",
    "SignOfLife",
    "Thinking",
    "Tool",
    "ToolCall",
    "ToolChoice",
    "ToolChoiceKind",
    "ToolResult",
    "UnreadableAnswer",
    "WrittenQuestion",
    "alternating",
]
