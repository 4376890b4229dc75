"""Policies out of the texts that are stored."""

from functools import lru_cache

from dealgate.rules.policy import Policy

MOST_READ = 32


@lru_cache(MOST_READ)
def policy_of(sha256: str, document: str) -> Policy:
    """The hash is the name that is told where the text cannot be read. A tenth of a second of work, done once for each version."""
    return Policy.from_text(document, sha256[:12])
