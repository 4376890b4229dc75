"""Who reads, and what is kept from them: masked values do not leave the database."""

from dataclasses import dataclass

from dealgate.adapters.compliance.query import Query, QueryError

MASKED = "masked"
"""Stands where a value is kept from the reader, whether or not there is one."""

PERSONAL = ("vin", "credit_score", "monthly_income", "monthly_debt", "lienholders", "metadata")
"""Of the applicant's and the deal's personal values; what was erased is told as such."""

STAFF = ("actor", "granted_by")

MASKS = {"compliance": (), "analyst": PERSONAL, "outside": (*PERSONAL, *STAFF)}
"""By role. An examiner is outside until somebody decides that the examination needs more."""


@dataclass(frozen=True, slots=True)
class Reader:
    """A person in a role: `compliance` sees all, `analyst` nothing personal, `outside` no name of staff either."""

    role: str = "outside"
    name: str | None = None

    def __post_init__(self) -> None:
        if self.role not in MASKS:
            raise QueryError("role", self.role, f"use {', '.join(MASKS)}")

    @property
    def masked(self) -> tuple[str, ...]:
        """Columns whose values are kept from this reader."""
        return MASKS[self.role]

    def check(self, query: Query) -> None:
        """Refuse to tell by a filter what is masked. Raises `QueryError`."""
        for part, column in (("actors", "actor"), ("grantors", "granted_by")):
            if column in self.masked and getattr(query, part):
                raise QueryError(
                    part, getattr(query, part)[0], f"the role {self.role} does not see names: leave it out"
                )
