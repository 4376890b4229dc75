"""What the lender supplies for a notice beside the stored decision: who it is, who oversees it, whom it writes to."""

import datetime
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dealgate.models.erasure import NoticeError
from dealgate.rules.finding import MOST_REASONS

Line = Annotated[str, Field(min_length=1, max_length=200)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Party(_Part):
    name: Line
    address: Annotated[list[Line], Field(min_length=1, max_length=6)]


class ReportingAgency(Party):
    phone: Line


class ConsumerReport(_Part):
    """The score that was used, as section 615(a) of the FCRA wants it told. Five key factors only where inquiries are one."""

    agency: ReportingAgency
    score: int
    score_date: datetime.date
    lowest: int
    highest: int
    key_factors: Annotated[list[Line], Field(min_length=1, max_length=MOST_REASONS + 1)]


class NoticeData(_Part):
    """`ecoa_agency` administers compliance with the ECOA concerning the creditor; `counteroffer` are its terms, line by line."""

    date: datetime.date
    creditor: Party
    ecoa_agency: Party
    applicant: Party
    consumer_report: ConsumerReport | None = None
    counteroffer: list[Line] = []
    respond_by: datetime.date | None = None


def read_notice_data(file: Path) -> NoticeData:
    """From YAML or JSON. Raises `NoticeError` that names each field with what is wanted, and not what came: it may be personal."""
    try:
        given: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise NoticeError(f"{file}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise NoticeError(f"{file}: is not text in UTF-8, at byte {error.start}: save it as such") from None
    except yaml.YAMLError as error:
        raise NoticeError(f"{file}: is neither YAML nor JSON{_where(error)}") from None
    try:
        return NoticeData.model_validate(given)
    except ValidationError as error:
        told = "\n".join(
            f"{file}: {'.'.join(map(str, one['loc'])) or '(document)'}: {one['msg']}" for one in error.errors()
        )
        raise NoticeError(told) from None


def _where(error: yaml.YAMLError) -> str:
    """The place only: the words of YAML quote the line, and an applicant stands in it."""
    mark = getattr(error, "problem_mark", None)
    return f", at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
