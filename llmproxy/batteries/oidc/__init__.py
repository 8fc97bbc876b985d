"""Identities by OpenID Connect: callers by signed tokens (JWT), and operators who sign in.

The only module of this package that others import. Without it, a config that has `jwt` or `sign_in`
is refused. joserfc (the extra `jwt`) checks signatures.
"""

from llmproxy.batteries.oidc.code_flow import BegunSignIn, SignedIn, SignInFailed
from llmproxy.batteries.oidc.service import Oidc

__all__ = ["BegunSignIn", "Oidc", "SignInFailed", "SignedIn"]
