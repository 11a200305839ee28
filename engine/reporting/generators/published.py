"""Which published vision-language models are known by a name of their own, and what each needs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """repo: on Hugging Face. gigabytes: of memory, in half precision, weights and working space."""

    repo: str
    gigabytes: float


PUBLISHED = {
    "blip2": Published("Salesforce/blip2-opt-2.7b", 9),
    "medgemma": Published("google/medgemma-4b-it", 11),
    "llava": Published("llava-hf/llava-1.5-7b-hf", 16),
}
"""To add one: one line here. Any other is written hf:ORG/NAME."""
