"""Reads the usage of JSON answers that are too long to be held, as they pass to their clients.

Lists of embeddings, images and sound as base64: they are relayed as they come, and their usage is
in their first or last bytes. The only module of this package that others import. Without it, the
cost of such calls is unknown.
"""

from llmproxy.batteries.long_answers.meter import metered

__all__ = ["metered"]
