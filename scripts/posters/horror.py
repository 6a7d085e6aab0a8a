"""The House on Harrow Hill: a horror film."""

from __future__ import annotations

import numpy as np
from PIL import Image

from .canvas import Canvas, Points, ellipse, limb, place, ramp, rectangle, smooth
from .lettering import Style, billing, tagline, title

BAT = smooth(
    [
        *[(0, -2), (3, -6), (3, -6), (5, -3), (14, -9), (30, -6), (30, -6), (23, 0), (21, 5)],
        *[(21, 5), (14, 2), (10, 7), (10, 7), (5, 4), (0, 9), (0, 9), (-5, 4), (-10, 7)],
        *[(-10, 7), (-14, 2), (-21, 5), (-21, 5), (-23, 0), (-30, -6), (-30, -6)],
        *[(-14, -9), (-5, -3), (-3, -6), (-3, -6)],
    ]
)


def branches(canvas: Canvas, x: float, y: float, length: float, angle: float, width: float) -> list:
    """A bare tree as tapering limbs that fork at random."""
    rng = canvas.rng
    bend = angle + rng.normal(0, 0.12)
    middle = (x + np.cos(angle) * length / 2, y + np.sin(angle) * length / 2)
    end = (middle[0] + np.cos(bend) * length / 2, middle[1] + np.sin(bend) * length / 2)
    limbs = [limb([(x, y), middle, end], [width, width * 0.66])]
    if length > 9:
        for turn in (-rng.uniform(0.3, 0.75), rng.uniform(0.3, 0.75), rng.normal(0, 0.3)):
            shorter = length * rng.uniform(0.6, 0.8)
            limbs += branches(canvas, end[0], end[1], shorter, bend + turn, width * 0.6)
    return limbs


def house(x: float, y: float, scale: float) -> tuple[list[Points], list[Points]]:
    """A crooked Victorian house standing on (x, y): its walls and its windows."""
    walls: list[Points] = [
        rectangle(-62, -78, 124, 90),  # main block
        [(-74, -74), (-30, -122), (14, -74)],  # left gable
        [(-40, -78), (-22, -112), (46, -112), (72, -76)],  # main roof
        rectangle(22, -150, 34, 160),  # tower
        [(15, -148), (33, -196), (39, -226), (45, -196), (63, -148)],  # spire
        rectangle(38.2, -240, 1.6, 24),
        [(34, -232), (44, -232), (44, -230.5), (34, -230.5)],
        rectangle(-14, -136, 11, 36),  # chimney
        rectangle(-16, -139, 15, 5),
        rectangle(-94, -46, 40, 56),  # wing
        [(-102, -44), (-75, -72), (-48, -44)],
        rectangle(-30.8, -136, 1.6, 20),
        [(58, -50), (96, -38), (96, -35), (58, -44)],  # porch
        rectangle(90, -38, 3, 50),
        rectangle(76, -40, 3, 50),
    ]
    for post in range(-62, 100, 8):
        walls.append(rectangle(post, -16, 2, 24))
    windows: list[Points] = [
        smooth(
            [(-37, -84), (-37, -84), (-37, -98), (-30, -106), (-23, -98), (-23, -84), (-23, -84)]
        ),
        rectangle(-50, -62, 13, 22),
        rectangle(-28, -62, 13, 22),
        rectangle(-6, -62, 13, 22),
        smooth(
            [(33, -122), (33, -122), (33, -134), (39, -141), (45, -134), (45, -122), (45, -122)]
        ),
        rectangle(34, -88, 10, 18),
        rectangle(-82, -34, 12, 16),
    ]
    return (
        [place(wall, x, y, scale, turn=-1.5) for wall in walls],
        [place(window, x, y, scale, turn=-1.5) for window in windows],
    )


def draw() -> Image.Image:
    """A dark house on a hill before a huge moon, and a child with a lantern on the path."""
    canvas = Canvas(seed=13)
    canvas.sky(
        (0, "#04060b"), (220, "#0c1722"), (480, "#27414a"), (640, "#42595a"), (900, "#10181a")
    )

    # The moon and the clouds in front of it
    moon = (330, 300)
    canvas.glow(*moon, 480, "#5d7f78", power=2.2)
    disc = canvas.mask(ellipse(*moon, 172, 172))
    face = canvas.noise(110, 110, octaves=6)
    canvas.fill(ramp(face, [(0, "#8f9a7c"), (0.45, "#c9cba6"), (1, "#f3efcf")]), disc)
    edge = np.clip(canvas.distance(*moon) / 172, 0, 1) ** 4
    canvas.shade("#7c8f86", disc * edge)
    cloud = np.clip((canvas.noise(420, 70) - 0.5) * 2.4, 0, 1)
    canvas.fill("#0b141b", cloud * canvas.band(0, 230, 160) * 0.85)
    canvas.fill(
        "#2c4247", np.clip((canvas.noise(380, 50) - 0.55) * 2.2, 0, 1) * canvas.band(340, 520, 60)
    )
    canvas.shape(*[place(BAT, *bat) for bat in BATS], color="#070a0d")

    # Far woods, then the hill with the house
    woods = canvas.ridge([(-20, 600), (120, 570), (300, 590), (480, 560), (620, 590)], roughness=7)
    canvas.shape(woods, color="#1f3336", blur=1.5)
    canvas.fill("#4d6765", np.clip(canvas.noise(300, 60), 0, 1) * canvas.band(560, 610, 60) * 0.55)
    hill = [
        (-20, 700),
        (80, 668),
        (180, 590),
        (270, 512),
        (340, 494),
        (420, 508),
        (500, 590),
        (620, 660),
    ]
    canvas.falling(canvas.ridge(hill, roughness=0.8), stops=[(490, "#0b1214"), (900, "#020304")])
    walls, windows = house(338, 498, 1.02)
    canvas.shape(*walls, color="#070b0d")
    canvas.light("#ff8a1e", canvas.mask(*windows, blur=9) * 0.9)
    canvas.falling(*windows, stops=[(350, "#ffdd83"), (480, "#f59a2c")])
    watcher = [ellipse(338 - 31.5, 498 - 93, 2.6, 3.2), ellipse(338 - 31.5, 498 - 84, 4.6, 6.5)]
    canvas.shape(*watcher, color="#140a04")
    bars = [
        [(a[0] / 2 + b[0] / 2, a[1]), (c[0] / 2 + d[0] / 2, c[1])] for a, b, c, d in windows[1:4]
    ]
    canvas.fill("#140a04", canvas.strokes(*bars, width=1.4))

    # The path, and the child with a lantern
    path = smooth(
        [(344, 504), (352, 540), (318, 580), (330, 630), (268, 690), (282, 770), (210, 900)], False
    )
    lane = limb(path[::10], [5, 8, 14, 22, 38, 70, 140])
    canvas.fill("#4a5a55", canvas.mask(lane, blur=2.5) * canvas.band(500, 690, 60) * 0.55)
    dead = branches(canvas, 72, 690, 92, -1.35, 21) + branches(canvas, 552, 655, 66, -1.85, 15)
    canvas.shape(*dead, color="#040607")
    canvas.glow(297, 664, 70, "#ffb04a", power=2)
    child = [
        ellipse(281, 633, 6.5, 7.5),
        smooth([(275, 630), (272, 642), (274, 650), (288, 650), (290, 641), (287, 629)]),
        smooth([(276, 642), (270, 672), (270, 672), (293, 672), (293, 672), (286, 642)]),
        limb([(285, 646), (291, 652), (297, 652)], [4, 3, 2.6]),
        rectangle(275, 671, 4.5, 17),
        rectangle(284, 671, 4.5, 17),
    ]
    canvas.shape(*child, color="#050404")
    canvas.shape(rectangle(294, 655, 6, 9), color="#fff0b8")
    canvas.glow(297, 660, 16, "#fff0b8", power=1.5)

    # Ground fog, a crooked fence, the title
    fog = canvas.noise(260, 50) * canvas.band(700, 740, 50)
    canvas.fill("#5b716c", fog * 0.5)
    fence = []
    for number in range(25):
        x, tilt = number * 26 - 12, float(canvas.rng.normal(0, 3))
        top = 716 + float(canvas.rng.normal(0, 5))
        fence.append(
            [
                (x, 800),
                (x + tilt, top + 8),
                (x + 3 + tilt, top),
                (x + 6 + tilt, top + 8),
                (x + 7, 800),
            ]
        )
    fence.append([(-5, 738), (620, 734), (620, 738), (-5, 742)])
    canvas.shape(*fence, color="#020304")
    canvas.fill("#020304", canvas.band(770, 900, 60))
    canvas.vignette(0.75)
    tagline(canvas, "Some doors were never meant to open", 44, "#c9cfc0")
    style = Style(tracking=0.1, weight=0.03, slab=0.06, slab_height=0.05, worn=0.14)
    red = [(735, "#ff3b2a"), (820, "#a10d0d")]
    title(
        canvas,
        [("THE HOUSE ON", 738, 230, 20), ("HARROW HILL", 768, 500, 58)],
        style,
        red,
        glow="#6b0000",
    )
    billing(
        canvas,
        [
            "A Lantern Yard picture   Odile Marrowby   Tam Vesperlin   and   Greta Holmwick",
            "Music Isk Orrane   Written by Della Fennimoor   Directed by Corwin Aldergast",
        ],
        846,
        "#a9aca2",
    )
    return canvas.finish(grain=4)


BATS = [
    (150, 190, 0.9, False, -12),
    (206, 232, 0.6, False, 14),
    (112, 250, 0.5, False, -4),
    (470, 178, 0.7, False, 18),
    (438, 226, 0.4, False, -10),
]
