"""The same calls through a proxy: the running one, or one that is started for them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from llmproxy.batteries.settings import FullConfig, FullSettings
from llmproxy.composition import installed
from llmproxy.config.models import ModelEntry, ModelGroup, Params
from llmproxy.providers import endpoints_of
from llmproxy.providers.base import Endpoint
from llmproxy.tools.doctor.answers import is_buffered
from llmproxy.tools.doctor.beside import proxy_beside
from llmproxy.tools.doctor.bytewise import answer_differences, request_differences
from llmproxy.tools.doctor.comparing import differences_in_form, what_of
from llmproxy.tools.doctor.examination import AT_ONCE, Examined, Trial, failure_in, sent
from llmproxy.tools.doctor.exchanges import Exchange, SmallCall
from llmproxy.tools.doctor.findings import DoctorFinding, found
from llmproxy.tools.doctor.recorder import WireMessage, WireRecorder, request_of

OWN = "doctor-{number}"
KEY_VARIABLE = "LLMPROXY_API_KEY"
ENDPOINT_HEADER = b"x-llmproxy-endpoint"


@dataclass(frozen=True)
class RunningProxy:
    """A proxy that serves already. `url`: without a path. `key`: of a client; None = any."""

    url: str
    key: str | None = field(repr=False)


async def compare_beside(
    config: FullConfig, endpoints: Sequence[Examined], trial: Trial, environ: Mapping[str, str]
) -> None:
    """Send the calls that were answered directly through a proxy started here, and compare what
    went over the wire on both of its sides, byte by byte."""
    names = {OWN.format(number=number): examined for number, examined in enumerate(endpoints, 1)}
    entries = {
        name: examined.entry.model_copy(update={"model": examined.model})
        for name, examined in names.items()
    }
    recorder = WireRecorder(trial.client, [examined.endpoint for examined in endpoints])
    async with proxy_beside(config, entries, environ, recorder) as url:
        await compare_recorded(names, url, recorder, trial)


async def compare_recorded(
    names: Mapping[str, Examined], url: str, recorder: WireRecorder, trial: Trial
) -> None:
    """Send calls to the proxy whose wire is recorded. `names`: of the groups there."""
    slots = asyncio.Semaphore(AT_ONCE)
    front = _front(RunningProxy(url, "of-doctor"))

    async def one(name: str, examined: Examined) -> None:
        async with slots:
            for stream, direct in examined.answers.items():
                call = examined.call(stream=stream, model=name)
                through = await sent(front, call, trial, bound=examined.bound)
                examined.findings += _byte_by_byte(examined, direct, through, call, recorder)
            trial.advance()

    async with asyncio.TaskGroup() as tasks:
        for name, examined in names.items():
            tasks.create_task(one(name, examined))


def _byte_by_byte(
    examined: Examined,
    direct: Exchange,
    through: Exchange,
    call: SmallCall,
    recorder: WireRecorder,
) -> Iterator[DoctorFinding]:
    subject, endpoint, what = examined.subject, examined.endpoint, what_of(call)
    heard = recorder.heard(call.id.encode("ascii"))
    if heard is None or direct.outgoing is None:
        why = failure_in(through, endpoint) or "it did not ask the endpoint"
        yield found("proxy_refuses", subject, what=what, why=why)
        return
    request, answer = heard
    is_signed = endpoint.authorize is not None
    asked = request_differences(request_of(direct.outgoing), request, is_signed=is_signed)
    if differences := "; ".join(asked):
        yield found("proxy_changes_request", subject, what=what, difference=differences)
    if through.status >= 300 or through.failure is not None:
        # Answered directly a moment ago: the endpoint, or the way to it, is not always so.
        failed = failure_in(through, endpoint)
        yield found("fails_at_times", subject, what=what, why=failed)
        return
    received = WireMessage(b"%d" % through.status, through.headers, through.body)
    if differences := "; ".join(answer_differences(answer, received)):
        yield found("proxy_changes_answer", subject, what=what, difference=differences)


async def compare_running(
    proxy: RunningProxy, endpoints: Sequence[Examined], trial: Trial
) -> list[str]:
    """Send the calls of each group through the running proxy, and compare with the endpoint that
    answered; return the groups that were compared."""
    front = _front(proxy)
    groups: dict[str, list[Examined]] = {}
    for examined in endpoints:
        if "*" not in examined.endpoint.group:
            groups.setdefault(examined.endpoint.group, []).append(examined)
    for group, members in groups.items():
        await _compare_group(group, members, front, trial, url=proxy.url)
        trial.advance()
    return list(groups)


async def _compare_group(
    group: str, members: Sequence[Examined], front: Endpoint, trial: Trial, *, url: str
) -> None:
    by_name = {examined.endpoint.name.encode("latin-1"): examined for examined in members}
    for stream in (False, True):
        first = members[0]
        if stream and not first.streams:
            continue
        call = first.call(stream=stream, model=group)
        through = await sent(front, call, trial, bound=first.bound)
        examined = by_name.get(through.header(ENDPOINT_HEADER) or b"", first)
        _judge(examined, through, front, call, url=url)


def _judge(
    examined: Examined, through: Exchange, front: Endpoint, call: SmallCall, *, url: str
) -> None:
    direct = examined.answers.get(call.stream)
    if direct is None:
        return
    what = what_of(call)
    why = failure_in(through, front)
    if why is not None:
        examined.findings.append(found("proxy_fails", examined.subject, what=what, why=why))
        return
    examined.findings += differences_in_form(direct, through, call, examined.subject)
    events = through.body.count(b"data:")
    if (
        call.stream
        and is_buffered(through, events)
        and not is_buffered(direct, direct.body.count(b"data:"))
    ):
        examined.findings.append(found("proxy_buffers", examined.subject, url=url))


def _front(proxy: RunningProxy) -> Endpoint:
    """Return a proxy as an endpoint: it is called as a client would."""
    params = Params.model_validate(
        {
            "base_url": f"{proxy.url}/v1",
            "default_headers": {"x-llmproxy-cache": "bypass"},
            **({} if proxy.key is None else {"api_key": proxy.key}),
        }
    )
    entry = ModelEntry(name="proxy", provider="generic", params=params)
    group = ModelGroup(model_group="proxy", models=(entry,))
    config = FullConfig(model_groups=(group,), general_settings=FullSettings())
    endpoint = endpoints_of(config)["proxy"][0]
    masking = installed().masking
    return endpoint if masking is None else replace(endpoint, mask=masking.mask_of(endpoint))
