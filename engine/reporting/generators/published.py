"""Published vision-language models with a short name, and what each needs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """repo: on Hugging Face. gigabytes: memory for weights and working space in half precision, in 10^9 bytes."""

    repo: str
    gigabytes: float


PUBLISHED = {
    "blip2": Published("Salesforce/blip2-opt-2.7b", 9),
    "medgemma": Published("google/medgemma-4b-it", 11),
    "llava": Published("llava-hf/llava-1.5-7b-hf", 16),
}
"""Models by short name; to add one: one line here. Any other model is named hf:ORG/NAME."""
