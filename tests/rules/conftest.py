Z: int = 1
