"""A whole book of deals against a policy: sources, engines, reports."""
