"""Credentials other than a fixed key: Entra tokens for Azure, AWS signatures for Bedrock, Google
tokens for Vertex AI; and the requests that Bedrock and Vertex AI want. See docs/decisions/051.

The only module of this package that others import. Without it, the core refuses a config that asks
for such credentials, and addresses both clouds as any other endpoint, by the path of `base_url`.
"""

from llmproxy.batteries.credentials.identities import CloudCredentials
from llmproxy.batteries.credentials.regions import unknown_regions

__all__ = ["CloudCredentials", "unknown_regions"]
