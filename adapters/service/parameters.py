"""The parameters of a query, which must be known: a misspelt one would be passed over, and more be answered than was asked for."""

from fastapi import Request

from dealgate.adapters.service.problems import refused_field


def check_parameters(request: Request) -> None:
    route = request.scope["route"]
    known = {one.alias for one in route.dependant.query_params}
    has_own = "parameters" in (route.openapi_extra or {})  # a report's own, at which it looks itself
    unknown = [name for name in request.query_params if name not in known and not (has_own and name.startswith("set."))]
    if unknown:
        remedy = f"Use {', '.join(sorted(known)) or 'none'}."
        title = "The request cannot be answered"
        raise refused_field(f"query.{unknown[0]}", "", "there is no such parameter", remedy, title=title)
