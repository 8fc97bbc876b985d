"""The same calls through a proxy: the running one, or one that is started for them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from llmproxy.batteries.settings import FullConfig, FullSettings
from llmproxy.config.models import ModelEntry, ModelGroup, Params
from llmproxy.providers import endpoints_of
from llmproxy.providers.base import Endpoint
from llmproxy.tools.doctor.answers import is_buffered
from llmproxy.tools.doctor.beside import proxy_beside
from llmproxy.tools.doctor.comparing import differences
from llmproxy.tools.doctor.examination import AT_ONCE, Examined, Trial, failure_in, sent
from llmproxy.tools.doctor.exchanges import Exchange, SmallCall
from llmproxy.tools.doctor.findings import found

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
    """Send the calls that were answered directly through a proxy started here, and compare."""
    names = {OWN.format(number=number): examined for number, examined in enumerate(endpoints, 1)}
    entries = {
        name: examined.entry.model_copy(update={"model": examined.model})
        for name, examined in names.items()
    }
    slots = asyncio.Semaphore(AT_ONCE)
    async with proxy_beside(config, entries, environ) as url:
        front = _front(RunningProxy(url, "of-doctor"))

        async def one(name: str, examined: Examined) -> None:
            async with slots:
                await _compare(examined, front, trial, model=name, url=None)
                trial.advance()

        async with asyncio.TaskGroup() as tasks:
            for name, examined in names.items():
                tasks.create_task(one(name, examined))


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


async def _compare(
    examined: Examined, front: Endpoint, trial: Trial, *, model: str, url: str | None
) -> None:
    for stream in examined.answers:
        call = examined.call(stream=stream, model=model)
        through = await sent(front, call, trial, bound=examined.bound)
        _judge(examined, through, front, call, url=url)


def _judge(
    examined: Examined, through: Exchange, front: Endpoint, call: SmallCall, *, url: str | None
) -> None:
    direct = examined.answers.get(call.stream)
    if direct is None:
        return
    what = "a stream" if call.stream else "a whole answer"
    why = failure_in(through, front)
    if why is not None and direct.failure is None and direct.status < 300:
        examined.findings.append(found("proxy_fails", examined.subject, what=what, why=why))
        return
    if direct.failure is not None:
        return
    examined.findings += differences(direct, through, call, examined.subject)
    events = through.body.count(b"data:")
    if (
        url is not None
        and call.stream
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
    return endpoints_of(config)["proxy"][0]
