"""The parameters of a query, which must be known: a misspelt one would be passed over, and more be answered than was asked for."""

from fastapi import Request

from dealgate.adapters.service.problems import ProblemError


def check_parameters(request: Request) -> None:
    known = {one.alias for one in request.scope["route"].dependant.query_params}
    unknown = [name for name in request.query_params if name not in known and not name.startswith("set.")]
    if unknown:
        remedy = f"Use {', '.join(sorted(known)) or 'none'}."
        problem = {
            "field": f"query.{unknown[0]}",
            "value": "",
            "message": "there is no such parameter",
            "remedy": remedy,
        }
        raise ProblemError(422, "request", "The request cannot be answered", "One problem.", [problem])
