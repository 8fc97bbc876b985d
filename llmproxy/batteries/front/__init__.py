"""What is in front of the server: UNIX sockets, whose clients are users of this machine.

Other packages use it through `open_front`. Without it, a client of a UNIX socket has no name.
"""

from llmproxy.batteries.front.listening import open_front

__all__ = ["open_front"]
