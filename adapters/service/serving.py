"""Running the service: one process, one port, until it is told to stop."""

import signal

import uvicorn

from dealgate.adapters.service.application import create_application
from dealgate.adapters.service.service import Service


def serve(service: Service) -> None:
    """Serve until SIGTERM or SIGINT; then take in nothing more, and finish what was taken in."""
    settings = service.settings
    config = uvicorn.Config(
        create_application(service),
        host=settings.host,
        port=settings.port,
        timeout_graceful_shutdown=int(settings.shutdown_seconds),
        access_log=False,
        server_header=False,
        log_config=None,
    )
    # uvicorn raises the signal that stopped it once more when all is done: to have stopped as told is no failure.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    uvicorn.Server(config).run()
