from tests.shared import X

Y: int = X
