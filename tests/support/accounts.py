"""Vendors of which each keeps its own files, batches, responses and conversations, as accounts do.

Whatever is asked of an account that is not its own gets a 404, and is counted in `strangers`.
"""

import json
import re
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from urllib.parse import parse_qs, urlsplit

from tests.support.vendor import LAST_CHUNK, chunk, error_body, http, scripted, sse_head

KINDS = {
    "files": "file-",
    "batches": "batch_",
    "conversations": "conv_",
    "vector_stores": "vs_",
    "uploads": "upload_",
    "responses": "resp_",
    "videos": "video_",
    "containers": "cntr_",
    "fine_tuning/jobs": "ftjob-",
    "messages/batches": "msgbatch_",
    "realtime/client_secrets": "sess_",
}
NAMED = re.compile(
    rb'"(?:input_file_id|file_id|training_file|previous_response_id|conversation|container)": '
    rb'"([a-z]+[-_][^"]+)"'
)
CLOCK = count(1_700_000_000)  # of all vendors: no two things are created at once


@dataclass
class Account:
    """One account of a vendor. `kept`: what it keeps, by collection and id."""

    name: str
    vendor: object = None
    kept: dict = field(default_factory=dict)
    strangers: list = field(default_factory=list)
    numbers: object = field(default_factory=lambda: count(1))
    fails: int = 0  # the status of every answer, if it is not 0
    delay_s: float = 0.0  # before every answer
    created: object = field(default_factory=lambda: CLOCK)

    @property
    def base_url(self):
        return self.vendor.base_url

    @property
    def asked(self):
        """The requests that it got."""
        return [received.line.rpartition(" ")[0] for received in self.vendor.received]

    def ids(self, collection):
        return list(self.kept.get(collection, {}))

    def keep(self, collection, **more):
        """Keep something, as if it had been created elsewhere; return its description."""
        id_ = f"{KINDS[collection]}{self.name}{next(self.numbers):04d}"
        described = {"id": id_, "object": collection, "created_at": next(self.created), **more}
        self.kept.setdefault(collection, {})[id_] = described
        return described

    def answer(self, received, number):
        """Return the steps of an answer to a request."""
        return [self.delay_s, *self._answer(received)]

    def _answer(self, received):
        if self.fails:
            return [http(error_body("broken"), status=self.fails)]
        method, target, _ = received.line.split(" ")
        url = urlsplit(target)
        path = url.path.removeprefix("/v1/")
        for name in NAMED.findall(received.body):
            if not self.knows(name.decode()):
                return self._missing(name.decode(), 400)
        collection = next((kind for kind in KINDS if path == kind), None)
        if collection is not None and method == "POST":
            return self._create(collection, received)
        if collection is not None and method == "GET":
            query = {key: values[-1] for key, values in parse_qs(url.query).items()}
            if not self.knows(query.get("after")) and "after" in query:
                return self._missing(query["after"])
            return [http(self._list(collection, query))]
        for kind in KINDS:
            if path.startswith(kind + "/"):
                return self._one(kind, method, *path.removeprefix(kind + "/").split("/"))
        return [http(error_body("unknown_url"), status=404)]

    def knows(self, id_):
        return any(id_ in things for things in self.kept.values())

    def _missing(self, id_, status=404):
        self.strangers.append(id_)
        return [http(error_body("not_found", message=f"No such object: {id_}"), status=status)]

    def _one(self, kind, method, id_, *below):
        things = self.kept.get(kind, {})
        if id_ not in things:
            return self._missing(id_)
        if method == "DELETE":
            del things[id_]
            return [http({"id": id_, "deleted": True})]
        if below == ("content",):
            return [http(b'{"id": "file-of-nobody"}\n', content_type="application/octet-stream")]
        return [http({**things[id_], **({"below": below} if below else {})})]

    def _create(self, kind, received):
        if kind == "responses":
            return self._respond(received)
        described = self.keep(kind, **repeated(received))
        if kind == "batches":
            described["output_file_id"] = self.keep("files")["id"]
        if kind == "realtime/client_secrets":
            described["value"] = "ek_secret"
        return [http(described)]

    def _respond(self, received):
        asked = json.loads(received.body)
        for item in asked["input"] if isinstance(asked["input"], list) else ():
            secret = item.get("encrypted_content")
            if secret and not secret.startswith(self.name * 20):
                self.strangers.append(secret)
                return [http(error_body("invalid_encrypted_content"), status=400)]
        described = self.keep("responses", status="completed", model="m", **repeated(received))
        if asked.get("store") is False:
            del self.kept["responses"][described["id"]]
        number = next(self.numbers)
        described["output"] = [
            {
                "type": "reasoning",
                "id": f"rs_{self.name}{number}",
                "summary": [],
                "encrypted_content": f"{self.name * 20}{number}",
            },
            {
                "type": "message",
                "id": f"msg_{self.name}{number}",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "ok"}],
            },
        ]
        described["usage"] = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
        if asked.get("stream"):
            return self._streamed(described)
        return [http(described)]

    def _streamed(self, described):
        events = [
            {"type": "response.created", "response": {**described, "output": []}},
            *({"type": "response.output_item.done", "item": item} for item in described["output"]),
            {"type": "response.completed", "response": described},
        ]
        lines = (f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
        return [sse_head(), *(chunk(line.encode()) for line in lines), LAST_CHUNK]

    def _list(self, collection, query):
        things = sorted(
            self.kept.get(collection, {}).values(), key=lambda thing: thing["created_at"]
        )
        if query.get("order") != "asc":
            things.reverse()
        if after := query.get("after"):
            at = [thing["id"] for thing in things].index(after)
            things = things[at + 1 :]
        limit = int(query.get("limit", 20))
        page = things[:limit]
        return {
            "object": "list",
            "data": page,
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
            "has_more": len(things) > limit,
        }


def repeated(received):
    """Return what an answer repeats of its request."""
    try:
        asked = json.loads(received.body)
    except ValueError:
        return {}
    return {name: asked[name] for name in ("metadata", "tools") if name in asked}


@asynccontextmanager
async def accounts(*names):
    """Run one vendor for each name, in this event loop."""
    async with AsyncExitStack() as stack:
        made = [Account(name) for name in names]
        for account in made:
            account.vendor = await stack.enter_async_context(scripted(account.answer))
        yield made


def group(name, *members, **more):
    """A group of a config, with one endpoint for each account."""
    models = [
        {
            "name": member.name,
            "model": "m",
            "params": {"base_url": member.base_url, "api_key": f"sk-{member.name}"},
        }
        for member in members
    ]
    return {"model_group": name, "models": models, **more}


def config_of(*groups, **settings):
    """A config of groups."""
    return {"model_groups": list(groups), "general_settings": settings}
