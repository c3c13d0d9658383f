"""How often something may happen, such as a line in the log. No I/O, no clock."""


class Bucket:
    """How many of something may pass: `size` at once, `rate` more each second. No clock."""

    def __init__(self, size: float, rate: float, now: float) -> None:
        self._size = size
        self._rate = rate
        self._left = size
        self._filled = now

    def has(self, now: float) -> bool:
        """Whether one more could pass now."""
        self._left = min(self._size, self._left + (now - self._filled) * self._rate)
        self._filled = now
        return self._left >= 1

    def take(self, now: float) -> bool:
        """Whether one more may pass now."""
        if not self.has(now):
            return False
        self._left -= 1
        return True

    def put_back(self) -> None:
        """One that passed did not come about."""
        self._left = min(self._size, self._left + 1)
