"""What is in front of the server: TLS, UNIX sockets, load balancers and proxies that name clients.

Other packages use it through `Front`. Without it, connections are plain, and each comes from
whoever has opened it.
"""

from llmproxy.batteries.front.listening import Front, FrontStatus

__all__ = ["Front", "FrontStatus"]
