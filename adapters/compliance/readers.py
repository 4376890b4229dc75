"""Who reads, and what is withheld: as `withholding` says of personal values, and from an outsider the names of staff, too."""

from dataclasses import dataclass

from dealgate.adapters.compliance.query import Query, QueryError
from dealgate.adapters.compliance.withholding import OUTSIDE, may_read

WITHHELD = "withheld"
"""Stands where a value is kept from the reader, whether or not there is one."""

PERSONAL = {
    "vin": "/deal/vehicle/vin",
    "credit_score": "/deal/applicant/credit_score",
    "monthly_income": "/deal/applicant/monthly_income",
    "monthly_debt": "/deal/applicant/monthly_debt",
    "lienholders": "/deal/trade_ins/0/lienholder",
    "metadata": "/deal/metadata",
}
"""Columns of personal values, and where these stand in an entry; a lienholder in any trade."""

STAFF = ("actor", "granted_by")


@dataclass(frozen=True, slots=True)
class Reader:
    """A person in a role: `compliance` sees all, `analyst` no identity, `outside` no personal value and no name of staff."""

    role: str = OUTSIDE
    name: str | None = None

    def __post_init__(self) -> None:
        may_read(self.role)

    @property
    def withheld(self) -> tuple[str, ...]:
        """Columns whose values are kept from this reader."""
        may = may_read(self.role)
        return (
            *(name for name, path in PERSONAL.items() if not may(path, "")),
            *(STAFF if self.role == OUTSIDE else ()),
        )

    def check(self, query: Query) -> None:
        """Refuse to tell by a filter what is withheld. Raises `QueryError`."""
        for part, column in (("actors", "actor"), ("grantors", "granted_by")):
            if column in self.withheld and getattr(query, part):
                raise QueryError(part, getattr(query, part)[0], f"the reader {self.role} sees no names: leave it out")
