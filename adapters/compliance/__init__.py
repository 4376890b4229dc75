"""What an examiner, an auditor or the fair-lending team asks of the record, and the answers."""
