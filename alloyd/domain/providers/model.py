"""What a provider is, what is asked of one, what it answers, and how it fails; pure."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

# What a request may be about; `chat` is another word for text. Echo serves all of these.
TEXT: Final = "text"
EMBEDDING: Final = "embedding"
IMAGE: Final = "image"
AUDIO: Final = "audio"
VIDEO: Final = "video"
MODALITIES: Final = (TEXT, EMBEDDING, IMAGE, AUDIO, VIDEO)
_ALIASES: Final[Mapping[str, str]] = {
    "chat": TEXT,
    "completion": TEXT,
    "embeddings": EMBEDDING,
    "images": IMAGE,
    "speech": AUDIO,
}
ECHO: Final = "echo"

# One vocabulary for why a text ended, whatever the vendor calls it.
STOP: Final = "stop"
LENGTH: Final = "length"
TOOL_CALLS: Final = "tool_calls"
CONTENT_FILTER: Final = "content_filter"


def canonical_modality(named: str) -> str:
    """``named`` in its one spelling; an unknown word stays as it is."""
    word = named.strip().lower()
    return _ALIASES.get(word, word)


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs, in micro-USD: for a million input and output tokens, an image, a million characters read.

    ``source`` says where the figures are from and ``date`` (ISO) when they were looked up.
    """

    input_per_million: int = 0
    output_per_million: int = 0
    image: int = 0
    characters_per_million: int = 0
    source: str = "configuration"
    date: str | None = None

    @property
    def free(self) -> bool:
        """Whether nothing can ever be owed."""
        return not (self.input_per_million or self.output_per_million or self.image or self.characters_per_million)


FREE: Final = Price()


@dataclass(frozen=True, slots=True)
class Model:
    """A model as one provider serves it. ``price`` None: nobody knows. Sizes are in tokens; None: nobody knows."""

    id: str
    tier: str = "standard"
    modalities: tuple[str, ...] = (TEXT,)
    price: Price | None = None
    context_tokens: int | None = None
    max_output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """A configured provider. ``open``: beside ``models`` it is asked for any that is named together with it.

    ``free``: a model without a price costs nothing (it runs on the operator's own machine).
    """

    id: str
    kind: str
    base_url: str
    api_key: str | None = field(default=None, repr=False)
    models: tuple[Model, ...] = ()
    timeout_s: float = 600.0
    first_byte_timeout_s: float = 60.0
    free: bool = False
    open: bool = False


@dataclass(frozen=True, slots=True)
class Execute:
    """What a caller asks for. ``params`` are the caller's, unchecked; ``input`` is any of the documented forms."""

    modality: str
    input: Any
    model: str | None = None
    provider: str | None = None
    tier: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Origin:
    """On whose behalf a call is made, for its usage record."""

    run_id: str | None = None
    workflow_id: str | None = None
    node_key: str | None = None
    job_id: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class TextPart:
    """Words in a message."""

    text: str


@dataclass(frozen=True, slots=True)
class ImagePart:
    """A picture in a message: by ``url``, or as ``data`` (base64) of ``media_type``."""

    url: str | None = None
    media_type: str | None = None
    data: str | None = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that a model asks for. ``arguments`` is JSON text, as models write it: it may be damaged."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message. ``role``: system, user, assistant, tool; ``tool_call_id`` is what a tool's message answers."""

    role: str
    parts: tuple[TextPart | ImagePart, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        """Its words without its pictures."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))


@dataclass(frozen=True, slots=True)
class Prompt:
    """A checked request. ``messages`` for text, ``texts`` for embedding, ``text`` for the others."""

    modality: str
    params: Mapping[str, Any]
    messages: tuple[Message, ...] = ()
    texts: tuple[str, ...] = ()
    text: str = ""


@dataclass(slots=True)
class Used:
    """What a call used. ``told`` is False while the provider has not said, and it is an estimate."""

    input_tokens: int = 0
    output_tokens: int = 0
    images: int = 0
    characters: int = 0
    told: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. ``output`` is what the caller is shown."""

    output: Any
    used: Used
    model: str


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More words."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """More of the tool call at ``index``: its ``id`` and ``name`` come with its first piece only."""

    index: int
    id: str | None
    name: str | None
    arguments: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of a stream. ``output`` is set by what can't be told in pieces."""

    finish_reason: str
    used: Used
    model: str
    output: Any = None


Delta = TextDelta | ToolCallDelta | Finished


class ProviderFault(Exception):  # noqa: N818 - a fault of one provider, of which a request may survive several
    """One provider's failure. ``message`` is for the caller, bounded and without secrets.

    ``retryable``: another provider may do better, and this one later. ``refused``: the provider understood and said
    no. ``retry_after_ms`` is what it asked for, ``status`` the HTTP status it answered with.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retryable: bool = False,
        refused: bool = False,
        retry_after_ms: int | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable
        self.refused = refused
        self.retry_after_ms = retry_after_ms
        self.status = status


class Provider(Protocol):
    """One configured provider, as the gateway uses it."""

    settings: ProviderSettings
    modalities: frozenset[str]
    image_tokens_max: int  # the most that one picture in a message is billed as

    def check(self, model: Model, prompt: Prompt) -> None:
        """Raises ``bad_request``, naming the field, for what this provider can't be asked."""

    async def execute(self, model: Model, prompt: Prompt) -> Answer:
        """The whole answer. Raises ProviderFault."""

    def stream(self, model: Model, prompt: Prompt, used: Used) -> AsyncGenerator[Delta]:
        """The answer in pieces, the last of them ``Finished``; keeps ``used`` up to date. Raises ProviderFault."""
