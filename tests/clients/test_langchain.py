"""langchain-openai gets through the proxy exactly what it gets from the vendor."""

import asyncio
from functools import cache

import openai
import pytest

from llmproxy.tools.simulator import VendorSettings, serve
from tests.clients.calls import CHAT, EMBEDDING, Weather
from tests.clients.comparing import Place, failed, masked
from tests.clients.houses import SEED
from tests.support.background import in_background
from tests.support.late import Late
from tests.support.proxy import config_for, serve_proxy

langchain_openai = Late("langchain_openai")
messages = Late("langchain_core.messages")
tools = Late("langchain_core.tools")

VERSION = "2024-10-21"
USUAL = {"api_key": "sk-client", "max_retries": 0, "timeout": 10}


@cache
def _weather_tool():
    @tools.tool
    def get_weather(city: str, days: int) -> str:
        """The weather of a city."""
        return f"{city}: sunny for {days} days"

    return get_weather


def _chat(place, **more):
    return langchain_openai.ChatOpenAI(
        base_url=place.base_url, model=place.model(CHAT), **USUAL, **more
    )


def _with_tools(model):
    """A whole round: the question, the call, the tool's result, the answer."""
    bound = model.bind_tools([_weather_tool()])
    question = messages.HumanMessage("Ask get_weather about Paris.")
    called = bound.invoke([question])
    results = [
        messages.ToolMessage(_weather_tool().invoke(call["args"]), tool_call_id=call["id"])
        for call in called.tool_calls
    ]
    assert len(results) == 1
    return [called, bound.invoke([question, called, *results])]


async def _invoked(model):
    return await model.ainvoke("Hello, wörld!")


async def _streamed(model):
    return [chunk async for chunk in model.astream("Hello, wörld!")]


@pytest.fixture(scope="module")
def runner():
    """One event loop, because langchain keeps its connections for all models."""
    with asyncio.Runner() as runner:
        yield runner


ASKS = {
    "invoke": lambda model: model.invoke(
        [messages.SystemMessage("Be brief."), messages.HumanMessage("Hello")]
    ),
    "stream": lambda model: list(model.stream("Hello, wörld!")),
    "batch": lambda model: model.batch(["one", "two"]),
    "tools": _with_tools,
    "streamed tools": lambda model: list(
        model.bind_tools([_weather_tool()]).stream("Ask get_weather about Paris.")
    ),
    "a schema": lambda model: model.with_structured_output(Weather).invoke("Hello"),
    "a schema by a tool": lambda model: model.with_structured_output(
        Weather, method="function_calling", include_raw=True
    ).invoke("Hello"),
}


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize("api", ["chat", "responses"])
def test_a_chat_model_says_the_same_through_the_proxy(api, ask, places):
    direct, *others = [
        masked(ASKS[ask](_chat(place, use_responses_api=api == "responses")))
        for place in places.values()
    ]
    assert direct
    assert others == [direct, direct]


@pytest.mark.parametrize("ask", [_invoked, _streamed])
@pytest.mark.parametrize("api", ["chat", "responses"])
def test_an_async_chat_model_says_the_same_through_the_proxy(api, ask, runner, places):
    direct, *others = [
        masked(runner.run(ask(_chat(place, use_responses_api=api == "responses"))))
        for place in places.values()
    ]
    assert direct
    assert others == [direct, direct]


@pytest.mark.parametrize("dimensions", [None, 8])
def test_embeddings_are_the_same_through_the_proxy(dimensions, places):
    """With `check_embedding_ctx_length` it would need a tokenizer's table from the net."""
    direct, *others = [
        langchain_openai.OpenAIEmbeddings(
            base_url=place.base_url,
            model=place.model(EMBEDDING),
            check_embedding_ctx_length=False,
            dimensions=dimensions,
            **USUAL,
        ).embed_documents(["one", "two", "wörld"])
        for place in places.values()
    ]
    assert [len(vector) for vector in direct] == [dimensions or 1536] * 3
    assert others == [direct, direct]


@pytest.fixture(scope="module")
def azure_places():
    """An Azure vendor, and a proxy that calls its deployment `our-model`."""
    settings = VendorSettings(seed=SEED, dialect="azure", models=(CHAT,))
    with in_background(
        lambda: serve(settings),
        lambda vendor: serve_proxy(
            config_for(
                {
                    "model": CHAT,
                    "params": {
                        "azure_endpoint": vendor.root,
                        "api_version": VERSION,
                        "api_key": "upstream",
                    },
                },
                group="our-model",
                num_retries=0,
            )
        ),
    ) as (vendor, proxy):
        yield (Place(vendor.root), CHAT), (Place(proxy.root), "our-model")


@pytest.mark.parametrize("ask", ["invoke", "stream", "tools", "a schema"])
def test_an_azure_model_says_the_same_through_the_proxy(ask, azure_places):
    direct, proxied = [
        masked(ASKS[ask](_azure(place, deployment))) for place, deployment in azure_places
    ]
    assert direct
    assert proxied == direct


def test_an_azure_model_that_names_its_model_too_is_served_by_its_deployment(azure_places):
    """LangChain needs the name for prices and tokens, and sends it along."""
    direct, proxied = [
        masked(_azure(place, deployment, model="gpt-4.1-2025-04-14").invoke("Hello"))
        for place, deployment in azure_places
    ]
    assert proxied == direct


def _azure(place, deployment, **more):
    return langchain_openai.AzureChatOpenAI(
        azure_endpoint=place.root,
        azure_deployment=deployment,
        api_version=VERSION,
        **USUAL,
        **more,
    )


@pytest.mark.parametrize("fault", ["status:400", "status:context_length_exceeded"])
def test_a_refusal_raises_the_same_exception(fault, places):
    direct, *others = [_failure(_chat(place), fault) for place in places.values()]
    assert direct["status_code"] == 400
    assert others == [direct, direct]


def _failure(model, fault):
    with pytest.raises(openai.APIStatusError) as caught:
        model.invoke("Hello", extra_headers={"x-simulator-fault": fault})
    return masked(failed(caught.value))
