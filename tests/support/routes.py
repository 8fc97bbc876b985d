"""The routes of a running proxy's admin application."""

from starlette.routing import Route

from tests.support.client import ask

# Those of LiteLLM's that need its switch are elsewhere: tests/litellm_habits/test_roles.py.
OUR_PLACES = ("/admin", "/dashboard", "/health", "/docs", "/openapi.json", "/metrics")


def routes_of(routes, prefix=""):
    """Every method and path, also of routers within routers."""
    found = set()
    for route in routes:
        if isinstance(route, Route):
            found |= {(method, prefix + route.path) for method in route.methods}
        elif hasattr(route, "original_router"):
            inner = prefix + route.include_context.prefix
            found |= routes_of(route.original_router.routes, inner)
    return found


def ours(routes):
    """Those that are not LiteLLM's: below /admin, or answered without its switch."""
    alone = ("/", "/livez", "/readyz")
    return {
        (method, path) for method, path in routes if path in alone or path.startswith(OUR_PLACES)
    }


async def app_of(proxy):
    """The admin application of a proxy, as soon as it was made."""
    await ask(proxy.port, "/admin/session", method="GET")
    return proxy.app._admin._application._app
