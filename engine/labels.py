"""The names of an image's label: 0 normal, 1 pneumonia, None unknown."""

CLASSES = {0: "normal", 1: "pneumonia"}
NAMES: dict[int | None, str] = {0: CLASSES[0], 1: CLASSES[1], None: "unknown"}
