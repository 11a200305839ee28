"""The exceptions that engine functions raise when their input is unusable."""


class InputError(ValueError):
    """Bad input. The message is one line: the object, what was expected, what was found, and the way out."""


class UnreadableImageError(InputError):
    """A file's bytes cannot be used as a radiograph; `reason` is a slug for counting, the message gives the details."""

    def __init__(self, reason: str, detail: str) -> None:
        """reason: empty, not-an-image, broken, truncated, too-large or unsupported."""
        super().__init__(detail)
        self.reason = reason
