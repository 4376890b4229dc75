"""Who calls, by an API key or by a token. What looks like the one is never tried as the other."""

from dealgate.adapters.service.api_keys import ApiKeys
from dealgate.adapters.service.oidc import Tokens
from dealgate.adapters.service.principals import Principal
from dealgate.models.api_keys import PREFIX


class Credentials:
    def __init__(self, keys: ApiKeys, tokens: Tokens | None) -> None:
        self.keys = keys
        self.tokens = tokens

    def principal(self, credential: str) -> Principal | None:
        if credential.startswith(PREFIX):
            return self.keys.principal(credential)
        return self.tokens.principal(credential) if self.tokens else None
