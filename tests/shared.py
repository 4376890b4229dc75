"""Where `../shared` stands."""

X: int = 1
