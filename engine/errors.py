"""What engine functions raise when their input cannot be used."""


class InputError(ValueError):
    """Bad input. The message is one line: the thing, what was expected, what came, and the way out."""


class UnreadableImageError(InputError):
    """A file's bytes cannot be used as a radiograph; `reason` is a slug to count by, the message says more."""

    def __init__(self, reason: str, detail: str) -> None:
        """reason: empty, not-an-image, broken, truncated, too-large or unsupported."""
        super().__init__(detail)
        self.reason = reason
