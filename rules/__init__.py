"""What a deal is, what the policy says, and what follows from both. Pure: no I/O, no clock, no database."""
