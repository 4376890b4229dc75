"""`python serving.py PORT`: the service as `dealgate serve` runs it, where anybody is anything; the environment has the settings."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from dealgate.adapters.service.principals import Principal, Role
from dealgate.adapters.service.service import Service
from dealgate.adapters.service.serving import serve
from dealgate.adapters.service.settings import read_settings


class Anybody:
    def principal(self, credential: str) -> Principal:
        return Principal(credential, frozenset(Role))


if __name__ == "__main__":
    serve(Service(read_settings(port=int(sys.argv[1])), Anybody()))
