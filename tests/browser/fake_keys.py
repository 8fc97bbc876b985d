"""Made-up keys, teams and budgets behind `/admin`, as many as a test wants."""

from time import time

from fastapi import HTTPException, Request, Response

SECRET = "sk-llmproxy-made-up-0123456789abcdefghijklmnopqrstuv"
DAY_S = 86_400
LIMITS = ("rpm", "tpm", "concurrent")
NO_STORE = "Nothing was changed or read: the database is not connected."


class Keys:
    """The keys and teams of a fake proxy. `me`: who is signed in; `down`: the store is away."""

    def __init__(self):
        self.me = {"name": "ada@example.com", "role": "admin", "team": None}
        self.keys, self.teams, self.orders = [], [], []
        self.down = self.off = False
        self.notice = None

    def fill(self, number=24):
        """Make teams, a caller of the config, and keys in every state."""
        names = ["search", "support", "research", "billing"]
        self.teams = [team(name, owner="grace@example.com", rpm=600) for name in names]
        self.teams[0]["members"] = [{"person": "ada@example.com", "role": "team"}]
        self.teams[0]["budgets"] = [budget("200", used="143.27")]
        self.teams.append({**team("platform"), "source": "config", "keys": None})
        for index in range(number):
            key = self.add(f"{names[index % 4]}-{index:05}", team=names[index % 4])
            key["state"] = {5: "blocked", 9: "expired"}.get(index % 12, "active")
            key["last_used_at"] = time() - index * 3_000 if index % 3 else None
            key["spent_usd"] = str(round(index * 13.7351, 6))
            key["owner"] = ("ada@example.com", "grace@example.com", None)[index % 3]
            if index % 2:
                used = round(min(50, index * 4.21), 2)
                key["budgets"] = [budget("50", used=str(used))]
        unknown = dict.fromkeys(("prefix", "created_at", "created_by", "spent_usd"))
        self.keys.insert(0, {**key_view("config:ci", "ci"), **unknown, "source": "config"})

    def add(self, name, **fields):
        """Make a key."""
        key = {**key_view(f"key_{len(self.keys):06}", name), **fields}
        self.keys.append(key)
        return key

    def key(self, id):
        """Return a key; 404 if there is none."""
        for key in self.keys:
            if key["id"] == id:
                return key
        raise HTTPException(404, f"There is no key {id!r}.")

    def team(self, name):
        """Return a team; 404 if there is none."""
        for found in self.teams:
            if found["name"] == name:
                return found
        raise HTTPException(404, f"There is no team {name!r}.")


def key_view(id, name):
    return {
        **{"id": id, "name": name, "prefix": "sk-llmproxy-Ab3dEf9x", "team": None, "owner": None},
        **{"note": None, "tags": [], "models": None, "limits": dict.fromkeys(LIMITS)},
        **{"budgets": [], "state": "active", "source": "store", "created_at": time() - 9 * DAY_S},
        **{"created_by": "ada@example.com", "expires_at": None, "last_used_at": None},
        **{"earlier_key_until": None, "spent_usd": "0", "left_usd": None},
    }


def team(name, *, owner=None, rpm=None):
    return {
        **{"name": name, "owner": owner, "note": None, "models": None, "members": [], "keys": 6},
        **{"limits": {"rpm": rpm, "tpm": None, "concurrent": None}, "budgets": []},
        **{"source": "store", "state": "active", "created_at": time() - 30 * DAY_S},
    }


def budget(amount, *, used, per="month", unit="usd"):
    left = str(max(0, round(float(amount) - float(used), 6)))
    return {
        **{"id": f"budget_{amount}_{used}", "unit": unit, "amount": amount, "per": per},
        **{"hard": True, "used": used, "reserved": "0", "left": left},
        **{"resets_at": time() + 4 * DAY_S, "state": "open"},
    }


def page_of(rows, limit, cursor):
    start = int(cursor or 0)
    after = start + limit
    return rows[start:after], str(after) if after < len(rows) else None


def add_keys(app):
    """Add the routes of keys."""

    def made_up():
        keys = app.state.world.keys
        if keys.off:
            raise HTTPException(404, "Not Found")
        if keys.down:
            raise HTTPException(503, NO_STORE)
        return keys

    @app.get("/admin/me")
    async def me():
        return app.state.world.keys.me

    @app.get("/admin/keys")
    async def listed(
        search: str = "", team: str = "", state: str = "", limit: int = 50, cursor: str = ""
    ):
        found = [
            key
            for key in made_up().keys
            if search.lower() in f"{key['name']} {key['owner']}".lower()
            and team in ("", key["team"])
            and state in ("", key["state"])
        ]
        rows, next_page = page_of(found, limit, cursor)
        return {"keys": rows, "next": next_page, "total": len(found)}

    @app.post("/admin/keys", status_code=201)
    async def create(request: Request):
        keys, order = made_up(), await request.json()
        keys.orders.append(("create", order))
        if not str(order.get("budget") or "1/month").split("/")[0].isdigit():
            expected = "dollars or tokens and a period: 200/month, 5000000 tokens/day, 50/total"
            raise HTTPException(422, f"budget: expected {expected}, found {order['budget']!r}.")
        key = keys.add(order["name"], team=order.get("team"), owner=order.get("owner"))
        return {**key, "key": SECRET, "notice": keys.notice}


def add_key_actions(app):
    """Add what is done to one key."""

    def made_up():
        return app.state.world.keys

    @app.get("/admin/keys/{id}")
    async def one(id: str):
        return made_up().key(id)

    @app.patch("/admin/keys/{id}")
    async def change(id: str, request: Request):
        keys, order = made_up(), await request.json()
        keys.orders.append(("change", order))
        key = keys.key(id)
        key.update({name: value for name, value in order.items() if name in key})
        return key

    @app.post("/admin/keys/{id}/{action}")
    async def act(id: str, action: str, request: Request):
        keys = made_up()
        order = await request.json() if await request.body() else None
        keys.orders.append((action, order))
        key = keys.key(id)
        key["state"] = {"block": "blocked", "unblock": "active"}.get(action, key["state"])
        return {**key, "key": SECRET, "notice": None} if action == "rotate" else key

    @app.delete("/admin/keys/{id}", status_code=204)
    async def delete(id: str):
        keys = made_up()
        keys.orders.append(("delete", id))
        keys.keys.remove(keys.key(id))
        return Response(status_code=204)


def add_teams(app):
    """Add the routes of teams and budgets."""

    @app.get("/admin/teams")
    async def teams(search: str = "", limit: int = 50, cursor: str = ""):
        found = [one for one in app.state.world.keys.teams if search.lower() in one["name"].lower()]
        rows, next_page = page_of(found, limit, cursor)
        return {"teams": rows, "next": next_page, "total": len(found)}

    @app.post("/admin/teams", status_code=201)
    async def create_team(request: Request):
        keys, order = app.state.world.keys, await request.json()
        keys.orders.append(("create team", order))
        keys.teams.append(team(order["name"], owner=order.get("owner")))
        return keys.teams[-1]

    @app.get("/admin/teams/{name}")
    async def one_team(name: str):
        return app.state.world.keys.team(name)

    @app.patch("/admin/teams/{name}")
    async def change_team(name: str, request: Request):
        keys, order = app.state.world.keys, await request.json()
        keys.orders.append(("change team", order))
        return keys.team(name)

    @app.post("/admin/teams/{name}/{action}")
    async def act_on_team(name: str, action: str):
        found = app.state.world.keys.team(name)
        found["state"] = "blocked" if action == "block" else "active"
        return found

    @app.delete("/admin/teams/{name}", status_code=204)
    async def delete_team(name: str):
        raise HTTPException(409, f"The team {name!r} has 6 keys. Delete them first.")
