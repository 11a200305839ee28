"""What engine functions raise when their input cannot be used."""


class InputError(ValueError):
    """Bad input. The message is one line: the thing, what was expected, what came, and the way out."""
