"""The parameters of a query, which must be known: a misspelt one would be passed over, and more be answered than was asked for."""

from fastapi import Request

from dealgate.adapters.service.problems import refused_field


def check_parameters(request: Request) -> None:
    known = {one.alias for one in request.scope["route"].dependant.query_params}
    unknown = [name for name in request.query_params if name not in known and not name.startswith("set.")]
    if unknown:
        remedy = f"Use {', '.join(sorted(known)) or 'none'}."
        title = "The request cannot be answered"
        raise refused_field(f"query.{unknown[0]}", "", "there is no such parameter", remedy, title=title)
