"""What a find ends in: a poster, and what is known of its title."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Poster:
    """A poster and what is known of its title.

    `image_bytes` is the picture as the service sent it, checked to be one that `read_image`
    reads. `service` gave the picture; `attribution` credits every service that is drawn on,
    and is to be shown with the poster. `title`, `year` and `synopsis` are None where no service
    that was asked says them.
    """

    title_id: str
    image_bytes: bytes
    title: str | None
    year: int | None
    synopsis: str | None
    service: str
    attribution: str
