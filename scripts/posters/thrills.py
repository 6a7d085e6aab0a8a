"""Posters of films to be afraid or in awe of."""

import math

from PIL import Image

from scripts.posters.brushes import Poster, person


def horror() -> Image.Image:
    """The House on Harrow Hill."""
    p = Poster(1)
    p.sky("#05070d", "#10202b", "#2d4a4d", "#0b1214", "#020303")
    p.disc(400, 250, 150, "#c7d6b5", blur=60, opacity=0.45)
    p.disc(400, 250, 92, "#e9eed2")
    for x, y, r in ((370, 225, 16), (425, 275, 22), (410, 210, 9)):
        p.disc(x, y, r, "#cbd3b4", blur=3)
    p.shape(
        [(0, 640), (170, 560), (330, 500), (450, 520), (600, 610), (600, 900), (0, 900)], "#060a0b"
    )
    house = [(250, 520), (250, 380), (236, 380), (300, 300), (318, 322), (318, 268), (340, 230)]
    house += [(362, 268), (362, 350), (380, 330), (436, 390), (424, 390), (424, 530)]
    p.shape(house, "#030506")
    for x, y in ((285, 400), (332, 300), (380, 410), (285, 455)):
        p.shape([(x, y), (x + 16, y), (x + 16, y + 26), (x, y + 26)], "#ffb347", blur=7)
        p.shape([(x, y), (x + 16, y), (x + 16, y + 26), (x, y + 26)], "#ffce73")
        p.line([(x + 8, y), (x + 8, y + 26)], "#030506", 2)
    for x, lean in ((70, 1), (545, -1)):
        p.line([(x, 700), (x + 12 * lean, 560), (x - 6 * lean, 430)], "#030506", 9)
        for k in range(6):
            y = 600 - k * 30
            end = (x + lean * (60 - 6 * k), y - 55)
            p.line([(x + 6 * lean, y), (x + lean * 32, y - 18), end], "#030506", 4 - k * 0.4)
    person(p, 300, 655, 92, "#020303")
    p.shape([(280, 650), (320, 650), (430, 900), (170, 900)], "#26393a", blur=14, opacity=0.5)
    p.lettering(
        ["THE HOUSE ON", "HARROW HILL"], "Someone left the light on", 735, "#c8321f", "#93a39a"
    )
    return p.finish(14)


def western() -> Image.Image:
    """The Last Water."""
    p = Poster(2)
    p.sky("#5b1f1a", "#b7401f", "#ef8a2d", "#f9c867", "#f4d9a0")
    p.disc(300, 470, 210, "#ffe9a8", blur=70, opacity=0.6)
    p.disc(300, 470, 150, "#fff3c4")
    for left, width, top in ((10, 120, 420), (455, 150, 390), (380, 60, 470)):
        mesa = [(left - 25, 600), (left, top), (left + width, top), (left + width + 30, 600)]
        p.shape(mesa, "#a8452a")
    p.ridge(590, 24, "#8a3320")
    p.ridge(650, 30, "#5c1f16")
    p.ridge(720, 26, "#2b0e0b")
    horse = [(212, 600), (232, 560), (300, 556), (352, 566), (378, 520), (396, 506), (430, 530)]
    horse += [(424, 544), (398, 540), (382, 590), (378, 632), (388, 726), (374, 726), (362, 640)]
    horse += [(350, 636), (340, 726), (328, 726), (334, 630), (264, 628), (250, 660), (262, 726)]
    horse += [
        (248, 726),
        (234, 660),
        (228, 650),
        (214, 726),
        (202, 726),
        (214, 640),
        (204, 668),
        (196, 664),
    ]
    p.shape(horse, "#1c0806")
    p.shape([(276, 566), (288, 480), (318, 474), (336, 486), (340, 540), (326, 572)], "#1c0806")
    p.line([(318, 560), (336, 600), (326, 640)], "#1c0806", 14)
    p.disc(312, 458, 17, "#1c0806")
    p.shape([(274, 454), (350, 454), (332, 444), (328, 424), (296, 424), (292, 444)], "#1c0806")
    p.line([(52, 720), (52, 560)], "#1c0806", 16)
    p.line([(52, 650), (22, 640), (22, 600)], "#1c0806", 11)
    p.line([(52, 630), (84, 620), (84, 575)], "#1c0806", 11)
    p.lettering(["THE LAST WATER"], "Forty miles of sand. One well.", 800, "#f9c867", "#ffe9c4")
    return p.finish()


def space() -> Image.Image:
    """Far Side of Silence."""
    p = Poster(3)
    p.sky("#02030a", "#070b22", "#101b45", "#1b1740", "#05040d")
    p.stars(320, "#ffffff")
    p.disc(300, 330, 230, "#3f7bd1", blur=60, opacity=0.5)
    p.disc(300, 330, 190, "#16356f")
    for k in range(60):
        p.disc(262 - k * 0.5, 300 - k * 0.5, 150 - k * 2.2, "#6fb2f2", opacity=0.018 + k * 0.0008)
    ring = [(300 + 330 * math.cos(a / 50), 330 + 70 * math.sin(a / 50)) for a in range(-10, 168)]
    ring = [(x + (y - 330) * 0.9, y - (x - 300) * 0.22) for x, y in ring]
    p.line(ring, "#e6d9b8", 11, 0.85)
    p.line([(x, y + 16) for x, y in ring], "#b59d76", 4, 0.7)
    p.ridge(700, 40, "#2a2746")
    p.ridge(750, 34, "#121024")
    x, y = 300, 742
    p.shape(
        [
            (x - 24, y),
            (x - 30, y - 92),
            (x + 30, y - 92),
            (x + 24, y),
            (x + 5, y),
            (x, y - 42),
            (x - 5, y),
        ],
        "#dfe4ee",
    )
    p.shape(
        [
            (x - 50, y - 40),
            (x - 34, y - 96),
            (x + 34, y - 96),
            (x + 50, y - 40),
            (x + 38, y - 36),
            (x - 38, y - 36),
        ],
        "#c3cbdb",
    )
    p.disc(x, y - 116, 29, "#eef2f8")
    p.disc(x + 3, y - 116, 20, "#f0a13a")
    p.disc(x - 4, y - 123, 7, "#ffe2a8", blur=2)
    p.shape([(x - 16, y - 88), (x + 16, y - 88), (x + 16, y - 62), (x - 16, y - 62)], "#8993a8")
    p.lettering(
        ["FAR SIDE OF SILENCE"], "Nobody has answered for nine years", 810, "#f4f6ff", "#8fa3d9"
    )
    return p.finish(8)


def shark() -> Image.Image:
    """Undertow Bay."""
    p = Poster(5)
    p.sky("#dff4f2", "#8fd6dd", "#1c87a6", "#0b4469", "#031a33")
    p.disc(470, 120, 52, "#fff7d6")
    p.ridge(262, 12, "#1f8fae")
    p.ridge(280, 12, "#15739a")
    p.shape([(0, 290), (600, 290), (600, 900), (0, 900)], "#0d5680", opacity=0.6)
    for k in range(5):
        p.shape(
            [(180 + k * 60, 290), (210 + k * 60, 290), (130 + k * 100, 900), (40 + k * 100, 900)],
            "#9be0ea",
            blur=18,
            opacity=0.10,
        )
    p.shape([(250, 262), (352, 262), (334, 282), (266, 282)], "#b5432f")
    p.line([(300, 262), (300, 196)], "#5a3a26", 3)
    p.shape([(303, 200), (303, 254), (340, 254)], "#fdf6e3")
    body = [(300, 380), (342, 440), (372, 520), (384, 620), (372, 760), (330, 900), (270, 900)]
    body += [(228, 760), (216, 620), (228, 520), (258, 440)]
    p.shape(body, "#4f6f84")
    p.shape(
        [
            (300, 470),
            (340, 530),
            (346, 620),
            (330, 760),
            (300, 900),
            (270, 760),
            (254, 620),
            (260, 530),
        ],
        "#c9d8de",
        blur=6,
    )
    for side in (-1, 1):
        p.shape(
            [(300 + side * 78, 640), (300 + side * 230, 790), (300 + side * 80, 740)], "#3f5c70"
        )
        p.disc(300 + side * 50, 500, 8, "#0a0f14")
    p.shape([(252, 520), (348, 520), (330, 566), (300, 582), (270, 566)], "#5a0d14")
    for k in range(7):
        x = 258 + k * 13
        p.shape([(x, 520), (x + 11, 520), (x + 5.5, 538)], "#ffffff")
        p.shape(
            [
                (x + 4, 568 - abs(k - 3) * 9),
                (x + 12, 568 - abs(k - 3) * 9),
                (x + 8, 552 - abs(k - 3) * 9),
            ],
            "#ffffff",
        )
    p.lettering(["UNDERTOW BAY"], "The water is lovely", 806, "#ffffff", "#0b3a55")
    return p.finish(8)


def noir() -> Image.Image:
    """A Quiet Alibi."""
    p = Poster(6)
    p.sky("#0a0a0d", "#1b1c22", "#3a3b42", "#1a1a1f", "#060607")
    for side, edge in ((-1, 0), (1, 600)):
        for k in range(4):
            x0, x1 = edge - side * k * 52, edge - side * (k + 1) * 52
            top = 120 + k * 88
            grey = ("#09090c", "#121216", "#1b1b20", "#24242a")[k]
            p.shape([(x0, top), (x1, top + 30), (x1, 760), (x0, 820)], grey)
            for wy in range(top + 60, 640, 46):
                if p.random.random() < 0.35:
                    wx = (x0 + x1) / 2
                    p.shape(
                        [(wx - 8, wy), (wx + 8, wy), (wx + 8, wy + 22), (wx - 8, wy + 22)],
                        "#e8c86a",
                        opacity=0.8,
                    )
    p.shape([(392, 300), (420, 300), (560, 800), (190, 800)], "#f3dfa0", blur=22, opacity=0.38)
    p.line([(460, 800), (460, 300), (440, 280), (406, 286)], "#050506", 8)
    p.disc(406, 296, 30, "#fff0b8", blur=14)
    p.disc(406, 296, 13, "#fffbe6")
    p.shape([(0, 770), (600, 770), (600, 900), (0, 900)], "#08080a")
    p.shape([(240, 775), (520, 775), (430, 900), (150, 900)], "#c9b57a", blur=26, opacity=0.4)
    p.shape([(318, 776), (352, 776), (260, 900), (120, 900)], "#020203", blur=5)
    person(p, 335, 780, 330, "#040405", hat=True)
    p.line([(350, 484), (372, 478)], "#f1f1ea", 3)
    p.disc(373, 478, 4, "#ff7a2e", blur=1)
    for k in range(14):
        p.disc(
            378 + 9 * math.sin(k * 0.9), 468 - k * 15, 5 + k * 1.2, "#cfd0d6", blur=7, opacity=0.10
        )
    for _ in range(220):
        x, y = p.random.uniform(0, 620), p.random.uniform(0, 860)
        p.line([(x, y), (x - 9, y + 34)], "#cfd6e0", 1, 0.28)
    p.lettering(
        ["A QUIET ALIBI"], "Everyone saw him. Nobody will say so.", 812, "#f1f1ea", "#a9abb5"
    )
    return p.finish(16)


def fantasy() -> Image.Image:
    """The Ember Crown."""
    p = Poster(7)
    p.sky("#1a0b2e", "#43205f", "#8c3a6b", "#e0734f", "#f5b764")
    p.disc(300, 520, 190, "#ffd48a", blur=80, opacity=0.7)
    p.ridge(560, 70, "#5b2b58", opacity=0.8)
    p.ridge(620, 60, "#3a1b42")
    for x, top, width in ((300, 330, 54), (246, 420, 38), (358, 400, 40), (204, 480, 30)):
        left, right, tip = x - width / 2, x + width / 2, top - width * 1.5
        p.shape([(left, 700), (left, top), (right, top), (right, 700)], "#180a20")
        p.shape([(left - 8, top), (x, tip), (right + 8, top)], "#28102f")
        p.line([(x, tip), (x, tip - 26)], "#180a20", 3)
        p.shape([(x, tip - 26), (x + 24, tip - 18), (x, tip - 10)], "#e3452f")
        window = [(x - 5, top + 40), (x + 5, top + 40), (x + 5, top + 62), (x - 5, top + 62)]
        p.shape(window, "#ffcf6b")
    p.shape([(180, 560), (400, 540), (430, 720), (150, 720)], "#180a20")
    p.ridge(690, 40, "#120717")
    body = [(84, 250), (150, 214), (206, 222), (250, 200), (286, 214), (262, 226), (214, 246)]
    body += [(168, 252), (120, 276), (60, 330), (30, 336), (64, 300)]
    p.shape(body, "#12060f")
    p.shape([(150, 220), (120, 96), (196, 150), (262, 110), (214, 230)], "#2b0d20")
    p.shape([(170, 240), (96, 340), (170, 316), (214, 350), (206, 240)], "#1d0918")
    p.disc(270, 208, 3, "#ffd23e")
    p.shape([(284, 212), (420, 262), (404, 300), (372, 292)], "#ff8a2b", blur=12, opacity=0.9)
    p.shape([(284, 212), (380, 256), (362, 276)], "#ffe27a", blur=6)
    person(p, 452, 742, 118, "#0b0410")
    p.line([(474, 664), (500, 590)], "#d9d4e6", 4)
    p.lettering(["THE EMBER CROWN"], "A throne is only warm for one", 806, "#ffd48a", "#e5b9c4")
    return p.finish(8)


def war() -> Image.Image:
    """Iron Meadow."""
    p = Poster(8)
    p.sky("#3b4148", "#6d6f6a", "#a89b80", "#d7bd8c", "#8a7350")
    for x, y, r in ((130, 300, 90), (200, 250, 70), (470, 330, 110), (410, 270, 60)):
        p.disc(x, y, r, "#4a4a46", blur=34, opacity=0.6)
    for x, y, size in ((150, 130, 1.0), (300, 90, 0.7), (430, 160, 0.8)):
        plane = [(-50, 0), (-8, -5), (0, -22), (6, -5), (50, 0), (6, 7), (0, 30), (-6, 7)]
        p.shape([(x + px * size, y + py * size) for px, py in plane], "#2a2c2e")
    p.ridge(560, 40, "#6b5b40")
    p.ridge(620, 30, "#47402f")
    for x, size in ((150, 150), (235, 178), (330, 196), (430, 170), (505, 140)):
        foot = 700 + size / 8
        person(p, x, foot, size, "#14130f")
        u = size / 100
        brim, top = foot - 88 * u, foot - 99 * u
        helmet = [(x - 13 * u, brim), (x + 13 * u, brim), (x + 9 * u, top), (x - 9 * u, top)]
        p.shape(helmet, "#14130f")
        p.line([(x + 8 * u, foot - 30 * u), (x + 30 * u, foot - 108 * u)], "#14130f", 3.4 * u)
    p.ridge(725, 26, "#1a1712")
    for x in range(-20, 640, 90):
        p.line([(x, 800), (x + 26, 690)], "#0d0b08", 7)
        p.line([(x + 26, 800), (x, 690)], "#0d0b08", 7)
    for y in (716, 748):
        wire = [(float(x), y + 9 * math.sin(x / 14)) for x in range(0, 605, 5)]
        p.line(wire, "#0d0b08", 2.4)
    p.lettering(["IRON MEADOW"], "They were promised a short summer", 812, "#f0dfb8", "#c9b98f")
    return p.finish(18)
