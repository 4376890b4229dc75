"""What an examiner, an auditor or the fair-lending team asks of the record, and what stands in answer."""
