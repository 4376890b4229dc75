"""Where checkpoints are kept out of the database's reach: a file, a time-stamping authority, a witness."""
