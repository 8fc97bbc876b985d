"""The sections `jwt` and `sign_in`: whose tokens are accepted, and what their claims mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, get_args
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, model_validator
from pydantic.functional_validators import AfterValidator

from llmproxy.batteries.addresses import is_this_machine
from llmproxy.config import Limits, checks
from llmproxy.config.base import NUMBER, Seconds, Section, Text, Url

# Signatures by public keys only: by HS256, whoever knows the public key could sign.
# fmt: off
Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
    "ES256", "ES384", "ES512", "EdDSA", "Ed25519",
]
# fmt: on
ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)


def _listed(value: object) -> object:
    """Return a list for a single name."""
    return (value,) if isinstance(value, str) else value


def _encrypted(value: str) -> str:
    """Check an address that decides whom to trust: nobody may change the answer on its way."""
    parts = urlsplit(checks.url(value))
    if parts.scheme != "https" and not is_this_machine(parts.hostname or ""):
        checks.refuse(
            "found {value}, which is not encrypted.",
            "Write https://...; http:// is for this machine only.",
        )
    return value


Names = Annotated[tuple[Text, ...], BeforeValidator(_listed)]
OneOrMore = Annotated[tuple[Text, ...], BeforeValidator(_listed), Field(min_length=1)]
Encrypted = Annotated[str, AfterValidator(_encrypted)]
Leeway = Annotated[float, Field(ge=0, le=300), NUMBER]


class TokenCheck(Section):
    """How tokens of an issuer are checked."""

    issuer: Encrypted = Field(
        description="Who makes the tokens, exactly as they say it (`iss`). Its keys are found by "
        "OpenID Connect discovery."
    )
    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1)] = Field(
        default=ALGORITHMS, description="How tokens may be signed. Default: by any public key."
    )
    leeway_s: Leeway = Field(
        default=30.0, description="How many seconds two clocks may be apart; at most 300."
    )


class ClaimNames(Section):
    """Where a token says what. Of several names, the first that is there counts."""

    caller: OneOrMore = Field(default=("sub",), description="Whose token it is.")
    team: Names = Field(default=(), description="The caller's team.")
    models: Names = Field(default=(), description="Patterns of the models that it may use.")
    tags: Names = Field(default=(), description="Labels of its calls.")


class Jwt(TokenCheck):
    """Whose tokens callers may send instead of keys, and what these say."""

    jwks_url: Encrypted | None = Field(
        default=None, description="Where its public keys are, if it has no discovery."
    )
    audience: OneOrMore = Field(description="Whom the tokens are for (`aud`): one or several.")
    claims: Annotated[ClaimNames, BeforeValidator(checks.nothing_is_empty)] = Field(
        default_factory=ClaimNames,
        description="The names of the claims that say caller, team, models and tags. A dot leads "
        "into an object: `realm_access.roles`.",
    )
    require: Mapping[Text, OneOrMore] = Field(
        default_factory=dict,
        description="Claims that must be, or contain, one of these values: `{scope: llm.use}`.",
    )
    prefix: str = Field(
        default="jwt:",
        max_length=32,
        description="What the names of these callers begin with, so that none is a key's name.",
    )
    team: Text | None = Field(
        default=None, description="The team of callers whose token names none of ours."
    )
    teams: Mapping[Text, Text] = Field(
        default_factory=dict,
        description="Values of the claim of the team, each with the team that it means: "
        "`{5b3f-...: search}`. Default: the value is the name.",
    )
    models: tuple[Text, ...] | None = Field(
        default=None,
        description="Patterns of the models of callers whose token names none. Default: all.",
    )
    tags: tuple[Text, ...] = Field(default=(), description="Labels of all calls with tokens.")
    limits: Annotated[Limits, BeforeValidator(checks.nothing_is_empty)] = Field(
        default_factory=Limits, description="Upper bounds of each caller. Default: no limit."
    )

    @model_validator(mode="after")
    def _teams_need_a_claim(self) -> Jwt:
        if self.teams and not self.claims.team:
            checks.refuse(
                "found teams, and no claim that names one.", "Add claims: {team: groups}."
            )
        return self


class RoleRule(Section):
    """The role of the people whose `claim` has a `value`; without both, of everybody else."""

    role: Literal["admin", "viewer", "team"] = Field(description="As that of an operator.")
    claim: Text | None = Field(default=None, description="The claim that decides.")
    value: Names = Field(default=(), description="What it must be, or contain: one of these.")
    team: Text | None = Field(default=None, description="The team, for the role `team`.")
    team_claim: Text | None = Field(
        default=None, description="Instead of `team`: the claim that names it."
    )

    @model_validator(mode="after")
    def _is_whole(self) -> RoleRule:
        if (self.claim is None) != (not self.value):
            checks.refuse("found `claim` without `value`, or the reverse.", "Write both, or none.")
        if (self.team is not None) + (self.team_claim is not None) != (self.role == "team"):
            checks.refuse(
                "found `role: team` without its team, or a team with another role.",
                "Write team or team_claim for somebody who sees one team, else neither.",
            )
        if self.role == "admin" and self.claim is None:
            checks.refuse(
                "found the role admin for everybody who can sign in.",
                "Add claim and value: who is meant.",
            )
        return self


class SignIn(TokenCheck):
    """Where operators sign in to `/admin`, and which role they get."""

    client_id: Text = Field(description="The name of this proxy at the issuer.")
    client_secret: SecretStr | None = Field(
        default=None, description="Its secret, best as `os.environ/NAME`; not needed with PKCE."
    )
    scopes: OneOrMore = Field(
        default=("openid", "profile", "email"), description="What the issuer is asked for."
    )
    public_url: Url | None = Field(
        default=None,
        description="Where people reach this proxy: `https://llm.example.com`. Default: as the "
        "browser says.",
    )
    name: OneOrMore = Field(
        default=("email", "preferred_username", "name", "sub"),
        description="The claim that names somebody in the audit; the first that is there.",
    )
    session_s: Annotated[Seconds, Field(le=30 * 86_400)] = Field(
        default=12 * 3600.0, description="Seconds after which one has to sign in again."
    )
    roles: Annotated[tuple[RoleRule, ...], Field(min_length=1)] = Field(
        description="Who gets which role: the first rule that fits. Nobody else gets in."
    )

    @model_validator(mode="after")
    def _asks_for_an_id_token(self) -> SignIn:
        if "openid" not in self.scopes:
            checks.refuse("found scopes without openid.", "Add openid: it asks for the ID token.")
        return self
