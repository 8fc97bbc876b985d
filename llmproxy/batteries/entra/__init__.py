"""Microsoft Entra tokens, for Azure endpoints with `azure_ad_token_provider`.

The only module of this package that others import. Without it, the core refuses a config that asks
for tokens.
"""

from llmproxy.batteries.entra.credentials import EntraCredentials

__all__ = ["EntraCredentials"]
