"""The named reports, each with the question that it answers and who asks it."""

from collections.abc import Mapping

from dealgate.adapters.compliance.adverse_action import APPROVALS, COUNTEROFFERS, REASONS, WORKLIST
from dealgate.adapters.compliance.asking import ReportError
from dealgate.adapters.compliance.exceptions import EXCEPTIONS, OVERRIDE_LOG, OVERRIDES
from dealgate.adapters.compliance.findings import ENGINE_TROUBLE, FINDINGS, NOT_EVALUABLE
from dealgate.adapters.compliance.near_limits import NEAR_LIMITS
from dealgate.adapters.compliance.policy_history import POLICIES
from dealgate.adapters.compliance.reporting import Report
from dealgate.adapters.compliance.resubmissions import DEALERS, RESUBMISSIONS
from dealgate.adapters.compliance.retention import RETENTION
from dealgate.adapters.compliance.same_inputs import SAME_INPUTS

REPORTS: Mapping[str, Report] = {
    report.name: report
    for report in (
        EXCEPTIONS,
        OVERRIDES,
        OVERRIDE_LOG,
        FINDINGS,
        APPROVALS,
        WORKLIST,
        COUNTEROFFERS,
        REASONS,
        POLICIES,
        RESUBMISSIONS,
        DEALERS,
        SAME_INPUTS,
        NOT_EVALUABLE,
        ENGINE_TROUBLE,
        NEAR_LIMITS,
        RETENTION,
    )
}


def report_named(name: str) -> Report:
    """Raises `ReportError`."""
    if name not in REPORTS:
        raise ReportError(f"no report is called {name!r}; there are: {', '.join(REPORTS)}")
    return REPORTS[name]
