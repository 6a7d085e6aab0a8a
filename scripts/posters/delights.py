"""Posters of films and series to smile or marvel at."""

import math

from PIL import Image

from scripts.posters.brushes import WIDTH, Poster, person


def romance() -> Image.Image:
    """Two Umbrellas."""
    p = Poster(4)
    p.sky("#2a1740", "#7a2f5d", "#d9657a", "#f6a97f", "#f9d3a2")
    p.disc(300, 430, 170, "#ffe3b5", blur=60, opacity=0.8)
    for x in range(0, WIDTH, 46):
        top = 430 + p.random.uniform(-70, 60)
        p.shape([(x, top), (x + 46, top), (x + 46, 700), (x, 700)], "#5c2a56", opacity=0.75)
        for wx in range(x + 6, x + 42, 12):
            for wy in range(int(top) + 14, 640, 22):
                if p.random.random() < 0.4:
                    p.shape([(wx, wy), (wx + 6, wy), (wx + 6, wy + 9), (wx, wy + 9)], "#ffd78a")
    p.shape([(0, 640), (600, 640), (600, 900), (0, 900)], "#31183f")
    p.shape([(180, 640), (420, 640), (520, 900), (80, 900)], "#f6a97f", blur=30, opacity=0.5)
    for x, color, lean in ((245, "#e8375a", -1), (355, "#f2c14e", 1)):
        person(p, x, 742, 185, "#1b0c24")
        top = [
            (x + lean * 14 + 96 * math.cos(a / 20), 572 + 74 * math.sin(a / 20))
            for a in range(-63, 1)
        ]
        p.shape(top, color)
        p.line([(x + lean * 14, 500), (x + lean * 16, 650)], "#1b0c24", 4)
    p.shape([(228, 742), (262, 742), (278, 640), (214, 640)], "#1b0c24")
    p.line([(262, 660), (300, 684), (338, 660)], "#1b0c24", 12)
    for _ in range(160):
        x, y = p.random.uniform(0, 600), p.random.uniform(60, 760)
        p.line([(x, y), (x - 4, y + 22)], "#ffe9dd", 1.2, 0.35)
    p.lettering(["TWO UMBRELLAS"], "It only rains when they meet", 806, "#ffe3d0", "#f6c9b5")
    return p.finish(8)


def animation() -> Image.Image:
    """Pip and the Cloud Whale."""
    p = Poster(9)
    p.sky("#3fb7f0", "#86d6fb", "#c9efff", "#ffe9c9", "#ffc9a6")
    p.disc(480, 150, 62, "#fff3a6")
    for x, y, r in ((80, 560, 70), (170, 590, 90), (300, 610, 80), (430, 590, 100), (550, 560, 80)):
        p.disc(x, y, r, "#ffffff", blur=3)
    body = [(90, 360), (130, 290), (230, 250), (340, 262), (420, 310), (470, 372), (520, 350)]
    body += [(560, 300), (566, 352), (590, 392), (540, 398), (486, 420), (420, 470), (300, 500)]
    body += [(180, 480), (110, 430)]
    p.shape(body, "#4a63c8")
    p.shape(
        [(96, 400), (200, 424), (330, 430), (440, 440), (360, 488), (230, 494), (130, 450)],
        "#dfe8ff",
    )
    p.shape([(250, 440), (330, 450), (300, 560), (262, 530)], "#3a4fac")
    p.disc(150, 352, 20, "#ffffff")
    p.disc(146, 354, 12, "#1c2340")
    p.disc(142, 349, 4, "#ffffff")
    p.line([(100, 398), (130, 414), (170, 414)], "#2b3a8a", 5)
    p.disc(122, 396, 12, "#ff9bb0", opacity=0.7)
    for k in range(9):
        p.disc(236 + 12 * math.sin(k), 226 - k * 17, 8 + k, "#e8f7ff", opacity=0.8 - k * 0.06)
    p.shape([(316, 262), (328, 196), (356, 196), (368, 264)], "#e8483f")
    p.shape([(310, 214), (332, 204), (330, 228)], "#e8483f")
    p.disc(342, 172, 30, "#ffd9b0")
    p.shape([(310, 172), (318, 138), (342, 128), (368, 140), (374, 172), (356, 152)], "#6b3a1e")
    p.disc(332, 176, 4, "#2a1a12")
    p.disc(352, 176, 4, "#2a1a12")
    p.line([(334, 188), (342, 193), (350, 188)], "#a5502e", 3)
    for x, y, r in ((40, 700, 100), (190, 740, 120), (360, 740, 130), (520, 700, 120)):
        p.disc(x, y, r, "#ffffff", blur=2)
    p.shape([(0, 740), (600, 740), (600, 900), (0, 900)], "#ffffff")
    p.lettering(["PIP AND THE", "CLOUD WHALE"], "Big friends fly slowly", 738, "#e8483f", "#1d5f8a")
    return p.finish(3)


def comedy() -> Image.Image:
    """Good Boy, Bad Day."""
    p = Poster(10)
    p.sky("#ffd23f", "#ffd95e", "#ffe38a", "#ffeab0")
    for k in range(16):
        a = k * math.pi / 8
        p.shape(
            [
                (300, 430),
                (300 + 800 * math.cos(a), 430 + 800 * math.sin(a)),
                (300 + 800 * math.cos(a + 0.2), 430 + 800 * math.sin(a + 0.2)),
            ],
            "#ffc21f",
        )
    p.shape([(176, 720), (200, 560), (300, 520), (400, 560), (424, 720)], "#b5733c")
    p.shape([(250, 720), (262, 600), (338, 600), (350, 720)], "#f6e6cf")
    p.disc(300, 420, 128, "#c9854a")
    p.shape([(186, 350), (150, 320), (120, 420), (140, 510), (190, 500), (206, 420)], "#7d4a22")
    p.shape([(414, 350), (450, 320), (480, 420), (460, 510), (410, 500), (394, 420)], "#7d4a22")
    p.disc(300, 468, 74, "#f6e6cf")
    for x in (252, 348):
        p.disc(x, 396, 26, "#ffffff")
        p.disc(x + 5, 402, 14, "#1b120b")
        p.disc(x, 396, 5, "#ffffff")
    p.line([(226, 366), (276, 352)], "#5c3416", 9)
    p.line([(324, 352), (374, 366)], "#5c3416", 9)
    p.shape([(270, 438), (330, 438), (300, 470)], "#1b120b")
    p.line([(300, 468), (300, 494), (268, 510)], "#1b120b", 5)
    p.line([(300, 494), (332, 510)], "#1b120b", 5)
    p.shape([(286, 504), (314, 504), (312, 552), (300, 560), (288, 552)], "#f0718a")
    p.shape([(226, 556), (374, 556), (366, 584), (234, 584)], "#d8332f")
    p.disc(300, 592, 17, "#ffcf3e")
    p.shape([(420, 720), (450, 640), (470, 634), (452, 724)], "#b5733c")
    shoe = [(90, 700), (150, 690), (172, 650), (210, 660), (230, 706), (226, 728), (92, 728)]
    p.shape(shoe, "#2f6fd0")
    p.shape([(88, 718), (230, 718), (230, 732), (88, 732)], "#ffffff")
    p.lettering(["GOOD BOY,", "BAD DAY"], "He only wanted the shoe", 762, "#d8332f", "#8a5a12")
    return p.finish(3)


def documentary() -> Image.Image:
    """Ten Thousand Wings."""
    p = Poster(11)
    p.sky("#0f3b52", "#2f7f8f", "#a9cfc0", "#f2d9a0", "#e79a5c")
    p.disc(300, 560, 90, "#fff0c2", blur=24, opacity=0.9)
    p.ridge(600, 30, "#4a6b5c", opacity=0.7)
    p.shape([(0, 640), (600, 640), (600, 900), (0, 900)], "#e0a468")
    p.shape([(0, 640), (600, 640), (600, 900), (0, 900)], "#1d4a55", opacity=0.7)
    for k in range(6):
        y = 660 + k * 16
        p.line([(300 - 120 + k * 6, y), (300 + 110 - k * 4, y)], "#ffe3a8", 3, 0.5)
    for _ in range(150):
        a, r = p.random.uniform(0, 6.3), p.random.gauss(0, 1)
        x, y = 300 + 190 * r * math.cos(a), 300 + 110 * r * math.sin(a) - 60 * math.cos(a)
        s = p.random.uniform(4, 11)
        p.line([(x - s * 2, y - s), (x, y), (x + s * 2, y - s)], "#0a1f28", s / 4)
    crane = [(250, 696), (268, 616), (300, 586), (350, 598), (392, 626), (340, 638), (296, 656)]
    p.shape(crane, "#f4f1e8")
    p.line([(286, 598), (262, 546), (276, 492), (262, 466)], "#f4f1e8", 11)
    p.disc(262, 462, 12, "#f4f1e8")
    p.disc(264, 454, 6, "#c92f2a")
    p.shape([(252, 460), (206, 474), (254, 470)], "#3a3a38")
    p.line([(318, 642), (312, 726)], "#20252a", 4)
    p.line([(338, 638), (342, 726)], "#20252a", 4)
    p.shape([(372, 616), (424, 642), (380, 650)], "#22282c")
    p.lettering(["TEN THOUSAND", "WINGS"], "One river, one morning", 752, "#fff3d6", "#d6efe6")
    return p.finish(8)


def sitcom() -> Image.Image:
    """The Corner Table, a series."""
    p = Poster(12)
    p.sky("#f6e7d3", "#f1d6b8", "#e9c39b")
    for x in range(0, WIDTH, 60):
        p.shape([(x, 0), (x + 30, 0), (x + 30, 470), (x, 470)], "#efcfa9")
    p.shape([(0, 470), (600, 470), (600, 900), (0, 900)], "#8a4b36")
    p.shape([(330, 120), (560, 120), (560, 400), (330, 400)], "#ffffff")
    p.shape([(342, 132), (548, 132), (548, 388), (342, 388)], "#9fd3e8")
    p.line([(445, 132), (445, 388)], "#ffffff", 9)
    p.line([(342, 260), (548, 260)], "#ffffff", 9)
    p.line([(190, 0), (190, 190)], "#3a2a20", 5)
    p.shape([(130, 250), (250, 250), (222, 190), (158, 190)], "#d8572a")
    p.shape([(130, 250), (250, 250), (330, 470), (50, 470)], "#fff3c9", blur=16, opacity=0.4)
    people = (
        (95, "#2f6f73", "#f0c39c", "#5a2f1c"),
        (225, "#d8a22a", "#8a5a3c", "#1d1512"),
        (365, "#b23a48", "#f6d3b3", "#c9803a"),
        (500, "#43588f", "#c98f66", "#221a18"),
    )
    for k, (x, shirt, skin, hair) in enumerate(people):
        y = 470 + (k % 2) * 14
        p.shape(
            [(x - 62, 640), (x - 50, y + 40), (x, y + 22), (x + 50, y + 40), (x + 62, 640)], shirt
        )
        p.disc(x, y - 32, 46, hair)
        p.disc(x, y - 20, 40, skin)
        p.disc(x - 14, y - 24, 4, "#20130e")
        p.disc(x + 14, y - 24, 4, "#20130e")
        p.line([(x - 14, y - 4), (x, y + 4), (x + 14, y - 4)], "#7a2c22", 4)
    p.shape([(20, 620), (580, 620), (600, 670), (0, 670)], "#c98a4e")
    p.shape([(0, 670), (600, 670), (580, 700), (20, 700)], "#a86a36")
    for x, color in ((110, "#ffffff"), (250, "#f4d35e"), (380, "#ffffff"), (490, "#9ad1b8")):
        p.shape([(x - 20, 588), (x + 20, 588), (x + 15, 632), (x - 15, 632)], color)
        p.line([(x + 20, 596), (x + 34, 604), (x + 18, 620)], color, 5)
        for s in (-6, 6):
            p.line([(x + s, 580), (x + s + 4, 566), (x + s - 2, 552)], "#ffffff", 3, 0.7)
    p.lettering(
        ["THE CORNER", "TABLE"], "A series about staying for one more", 742, "#fff1d8", "#7a4a2c"
    )
    return p.finish(5)
