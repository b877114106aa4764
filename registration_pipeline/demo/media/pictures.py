"""Drawn camera frames and their encodings as JPEG, PNG, WebP and BMP. The only user of pillow.

What does not belong here: file names, videos (``mp4``) and everything that is not a picture.
"""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont, ImageOps

if TYPE_CHECKING:
    from registration_pipeline.demo.media.subject import Subject

FRAME_SIZE = (320, 240)
"""Width and height in pixels: large enough to view, small enough for thousands of files."""

_HORIZON = 130
_DASHES = 6

_Colour = tuple[int, int, int]

# Sky at the top, sky at the horizon, ground: morning, noon, overcast, dusk, night.
_LIGHTS: tuple[tuple[_Colour, _Colour, _Colour], ...] = (
    ((92, 124, 178), (255, 214, 170), (96, 122, 84)),
    ((58, 128, 210), (206, 232, 250), (92, 142, 82)),
    ((132, 142, 152), (214, 218, 222), (104, 118, 98)),
    ((66, 52, 112), (250, 146, 96), (72, 82, 72)),
    ((10, 16, 40), (48, 60, 98), (30, 38, 36)),
)
_CARS: tuple[_Colour, ...] = ((196, 54, 54), (46, 108, 196), (238, 190, 58), (236, 238, 240), (60, 158, 128))


def draw_frame(subject: Subject, *, frame: int = 0) -> Image.Image:
    """Draw a road scene of ``FRAME_SIZE`` with the subject's label and number in it.

    Args:
        subject: decides light, traffic and label.
        frame: moves the scene on, so that the frames of one video differ.
    """
    random = subject.random()
    picture = _background(subject.place_random().randrange(len(_LIGHTS))).copy()
    pen = ImageDraw.Draw(picture)
    _draw_lane(pen, phase=(subject.number + frame) % 4 / 4)
    # Far cars first, so that near ones cover them.
    for distance in sorted((random.random() + frame / 40) % 1 for _ in range(random.randint(1, 3))):
        _draw_car(pen, lane=random.choice((-1, 1)), distance=distance, paint=random.choice(_CARS))
    text = f"{subject.label}   {subject.number:06d}" + (f" +{frame}" if frame else "")
    width, height = FRAME_SIZE
    pen.rectangle((0, height - 24, width, height), fill=(16, 18, 22))
    pen.text((8, height - 21), text, fill=(232, 236, 240), font=_font())
    return picture


def render_jpeg(subject: Subject, *, frame: int = 0) -> bytes:
    """Encode the subject's frame as baseline JPEG."""
    return _encode(draw_frame(subject, frame=frame), "JPEG", quality=80)


def render_png(subject: Subject) -> bytes:
    """Encode the subject's frame as 8-bit RGB PNG."""
    return _encode(draw_frame(subject), "PNG", compress_level=6)


def render_webp(subject: Subject) -> bytes:
    """Encode the subject's frame as lossy WebP."""
    return _encode(draw_frame(subject), "WEBP", quality=75, method=2)


def render_bmp(subject: Subject) -> bytes:
    """Encode the subject's frame as uncompressed 24-bit BMP."""
    return _encode(draw_frame(subject), "BMP")


def _encode(picture: Image.Image, form: str, **options: int) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


@lru_cache(maxsize=1)
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=15)


@lru_cache(maxsize=len(_LIGHTS))
def _background(light: int) -> Image.Image:
    width, height = FRAME_SIZE
    zenith, horizon, ground = _LIGHTS[light]
    shade = Image.linear_gradient("L").resize((width, _HORIZON))
    picture = Image.new("RGB", FRAME_SIZE, ground)
    picture.paste(ImageOps.colorize(shade, zenith, horizon), (0, 0))
    pen = ImageDraw.Draw(picture)
    hills = tuple(max(part - 24, 0) for part in ground)
    pen.ellipse((-60, _HORIZON - 26, 150, _HORIZON + 26), fill=hills)
    pen.ellipse((170, _HORIZON - 40, 400, _HORIZON + 40), fill=hills)
    pen.rectangle((0, _HORIZON, width, height), fill=ground)
    pen.polygon([(150, _HORIZON), (170, _HORIZON), (290, height), (30, height)], fill=(62, 64, 70))
    return picture


def _draw_lane(pen: ImageDraw.ImageDraw, *, phase: float) -> None:
    """Dash the middle of the road; squares of the distance give the perspective."""
    depth = FRAME_SIZE[1] - _HORIZON
    for dash in range(_DASHES):
        near, far = ((dash + phase + part) / _DASHES for part in (0.5, 0.0))
        top, bottom = _HORIZON + depth * far**2, _HORIZON + depth * near**2
        half = 0.5 + 4 * near**2
        pen.rectangle((160 - half, top, 160 + half, bottom), fill=(228, 226, 210))


def _draw_car(pen: ImageDraw.ImageDraw, *, lane: int, distance: float, paint: _Colour) -> None:
    scale = 0.15 + 0.85 * distance**2
    centre = 160 + lane * (4 + 60 * scale)
    bottom = _HORIZON + 4 + 76 * scale
    half, tall = 26 * scale, 34 * scale
    pen.rounded_rectangle((centre - half, bottom - tall, centre + half, bottom), radius=5 * scale, fill=paint)
    pen.rectangle(
        (centre - 0.7 * half, bottom - 0.9 * tall, centre + 0.7 * half, bottom - 0.5 * tall), fill=(40, 48, 60)
    )
