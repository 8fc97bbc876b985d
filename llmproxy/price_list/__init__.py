"""List prices of models, for endpoints without a `price`.

The only module of this package that others import. Without it, only the prices in the config are
known.
"""

from llmproxy.price_list.genai import list_price

__all__ = ["list_price"]
