"""Whether the process lives, and whether it can do its work."""

from fastapi import APIRouter

from dealgate.adapters.database import wrong_revision
from dealgate.adapters.service.documents import not_now
from dealgate.adapters.service.endpoints import TheService
from dealgate.adapters.service.problems import unavailable

router = APIRouter(tags=["operations"])


@router.get("/healthz")
async def lives() -> dict[str, str]:
    """The process answers. It asks nothing of the database: a process is not restarted for that."""
    return {"status": "lives"}


@router.get("/readyz", responses=not_now())
def is_ready(service: TheService) -> dict[str, str]:
    """Submissions can be stored, and are told to the subscribers. Otherwise 503, and a load balancer sends them elsewhere."""
    with service.reading() as connection:
        problem = wrong_revision(connection)
    if problem is not None:
        raise unavailable(str(problem))
    if not service.tells:
        raise unavailable(
            "The subscribers of webhooks are not entered yet: a new one would not be told of what is decided now."
        )
    return {"status": "ready"}
