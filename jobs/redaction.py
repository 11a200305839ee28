"""Messages and command lines without secrets, so that they can be stored and shown."""

import os
import re

SECRET_NAMES = re.compile(r"TOKEN|SECRET|PASSWORD|API_?KEY|CREDENTIAL", re.IGNORECASE)
SECRET_SHAPES = re.compile(
    r"hf_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{16,}|(?<=[Bb]earer )\S+"
    r"|(?<=://)[^\s/@:]*:[^\s/@]+(?=@)|(?<=password=)[^&\s]+"
    r"|(?<=api_key=)[^&\s]+|(?<=api-key=)[^&\s]+|(?<=apikey=)[^&\s]+|(?<=token=)[^&\s]+|(?<=secret=)[^&\s]+"
)


def redact(message: str) -> str:
    """`message` without secrets: values of secret-looking environment variables, tokens, passwords in URLs."""
    for name, value in os.environ.items():
        if SECRET_NAMES.search(name) and len(value) >= 6:
            message = message.replace(value, "[secret]")
    return SECRET_SHAPES.sub("[secret]", message)
