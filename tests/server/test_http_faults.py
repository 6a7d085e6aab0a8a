"""Whatever a client does wrong: a status from 400 to 499 and one sentence without an echo."""

import base64
import json
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
import requests

from poster2plot.server.http_types import SENTENCE, SETTINGS
from support.drawn_posters import draw_poster, encode
from support.poster_server import ID

POSTER = encode(draw_poster())
MARK = "Zq7marker"  # of what a client sends and no answer may repeat
LONG = MARK * (2 * 2**20 // len(MARK))
FORM = {"Content-Type": "multipart/form-data; boundary=b"}
PLAIN = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}


def part(disposition: str, content: bytes = b"x", *, boundary: bytes = b"b") -> bytes:
    head = f"Content-Disposition: form-data; {disposition}\r\n\r\n".encode()
    return b"--" + boundary + b"\r\n" + head + content + b"\r\n"


IMAGE = part('name="image"; filename="a.png"', POSTER)
END = b"--b--\r\n"


def setting(text: str, name: str = "num_beams") -> bytes:
    return IMAGE + part(f'name="{name}"', text.encode()) + END


def as_json(**fields: object) -> bytes:
    return json.dumps(fields).encode()


PICTURE = base64.b64encode(POSTER).decode()
FORMS = {
    "nothing": b"",
    "noise": MARK.encode(),
    "no field": END,
    "a part without a name": part(f'filename="{MARK}"') + END,
    "a part without a disposition": b"--b\r\n\r\n" + MARK.encode() + b"\r\n" + END,
    "a setting of 2 MB": setting(LONG),
    "a title of 2 MB": IMAGE + part('name="title"', LONG.encode()) + END,
    "a title of 3 kB beside a picture": IMAGE + part('name="title"', b"x" * 3000) + END,
    "an id of 3 kB": IMAGE + part('name="title"', b"tt" + b"1" * 3000) + END,
    "a name of 2 MB": IMAGE + part(f'name="{LONG}"') + END,
    "a file name of 2 MB": part(f'name="image"; filename="{LONG}"', POSTER),
    "a picture as a text": part('name="image"', POSTER) + END,
    "a text as a picture": part(f'name="image"; filename="{MARK}.png"', MARK.encode()) + END,
    "two pictures": IMAGE + IMAGE + END,
    "two titles": part('name="title"', ID.encode()) * 2 + END,
    "a title as a file": part(f'name="title"; filename="{MARK}"', ID.encode()) + END,
    "an id beside a picture": IMAGE + part('name="title"', ID.encode()) + END,
    "no id": part('name="title"', MARK.encode()) + END,
    "quotes in an id": part('name="title"', f"”{MARK}”".encode()) + END,
    "a person": part('name="title"', b"nm0000138") + END,
    "a setting twice": IMAGE + part('name="seed"', b"1") * 2 + END,
    "a setting as a file": IMAGE + part(f'name="seed"; filename="{MARK}"', b"1") + END,
    "an unknown field": IMAGE + part(f'name="{MARK}"') + END,
    "no closing boundary": IMAGE + part('name="seed"', b"1"),
    "half a picture": IMAGE[: len(IMAGE) // 2],
    "half a picture in a whole form": part('name="image"; filename="a"', POSTER[:99]) + END,
    "an empty picture": part('name="image"; filename="a.png"', b"") + END,
    "a text that is not UTF-8": IMAGE + part('name="title"', b"\xff\xfe\xfd") + END,
    "another boundary": IMAGE.replace(b"--b", b"--c") + END,
    "bare line breaks": IMAGE.replace(b"\r\n", b"\n") + END,
    "many fields": IMAGE + part(f'name="{MARK}"') * 3000 + END,
    "a header without an end": b"--b\r\n" + b"X: " + MARK.encode() * 10_000,
}
SETTING = [
    "1e999", "-1e999", "NaN", "inf", "Infinity", "nan", "", " ", "4.5", "0x4", "1_0", "４",
    "1" * 5000, "1e-400x", "--4", "null", "[4]", "{}", "true", "\x00", MARK, "9" * 20,
]  # fmt: skip
BODIES = {
    "nothing": b"",
    "noise": MARK.encode(),
    "a list": b"[]",
    "a text": as_json()[:-1],
    "null": b"null",
    "half": as_json(image=PICTURE)[:1000],
    "deep": b"[" * 100_000,
    "deep and whole": b'{"title":' * 20_000 + b"1" + b"}" * 20_000,
    "NaN": b'{"title": "tt0133093", "guidance": NaN}',
    "infinite": b'{"title": "tt0133093", "guidance": 1e999}',
    "long digits": b'{"title": "tt0133093", "seed": ' + b"1" * 10_000 + b"}",
    "a name twice": b'{"title": "tt0133093", "seed": 1, "seed": 2}',
    "UTF-16": as_json(title=ID).decode().encode("utf-16"),
    "not UTF-8": b'{"title": "\xff"}',
    "half a character": b'{"title": "\\ud800"}',
    "an unknown name": as_json(title=ID, **{MARK: 1}),
    "a number as a text": as_json(title=ID, num_beams="4"),
    "a truth value as a number": as_json(title=ID, num_beams=True),
    "a number as a truth value": as_json(title=ID, sample=1),
    "a title as a list": as_json(title=[MARK]),
    "a picture as a list": as_json(image=[1, 2]),
    "no base64": as_json(image=MARK + "!"),
    "base64 of noise": as_json(image=base64.b64encode(MARK.encode()).decode()),
    "an address": as_json(image=f"http://{MARK}.example/a.png"),
    "an empty picture": as_json(image=""),
    "a setting of 2 MB": as_json(title=ID, num_beams=LONG),
    "a title of 2 MB": as_json(title=LONG),
    "no poster": as_json(num_beams=4),
    "nulls": as_json(image=None, title=None),
    "an id beside a picture": as_json(image=PICTURE, title=ID),
    "settings that contradict": as_json(title=ID, num_candidates=5, num_beams=2),
    "longer than the model writes": as_json(title=ID, max_length=400),
}
HEADERS: dict[str, tuple[dict[str, str], bytes]] = {
    "no boundary": ({"Content-Type": "multipart/form-data"}, IMAGE + END),
    "an empty boundary": ({"Content-Type": "multipart/form-data; boundary="}, IMAGE + END),
    "a long boundary": ({"Content-Type": f"multipart/form-data; boundary={'b' * 5000}"}, IMAGE),
    "odd options": ({"Content-Type": 'multipart/form-data; boundary*=x\'\'%ff; a="'}, IMAGE + END),
    "no kind": ({"Content-Type": ";;;="}, IMAGE + END),
    "another kind": ({"Content-Type": f"text/{MARK}"}, IMAGE + END),
    "a picture alone": ({"Content-Type": "image/png"}, POSTER),
    "an unknown charset": ({"Content-Type": f"application/json; charset={MARK}"}, as_json()),
    "another charset": ({"Content-Type": "multipart/form-data; boundary=b; charset=utf-16"}, IMAGE),
    "a compressed body": ({**JSON, "Content-Encoding": "gzip"}, as_json(title=ID)),
    "an unknown encoding": ({**JSON, "Content-Encoding": MARK}, as_json(title=ID)),
    "a picture in a plain form": (PLAIN, b"image=" + POSTER),
    "a long plain form": (PLAIN, b"title=" + LONG.encode()),
    "percent signs": (PLAIN, b"title=%%%zz%ff"),
}  # fmt: skip


def cases() -> dict[str, tuple[dict[str, str], bytes]]:
    return {
        **{f"form: {name}": (FORM, body) for name, body in FORMS.items()},
        **{f"setting: {text[:20]!r}": (FORM, setting(text)) for text in SETTING},
        **{f"JSON: {name}": (JSON, body) for name, body in BODIES.items()},
        **{f"header: {name}": case for name, case in HEADERS.items()},
    }


def is_one_sentence(answer: requests.Response) -> None:
    assert answer.headers["Content-Type"] == "application/json"
    assert list(answer.json()) == ["error"]
    sentence = answer.json()["error"]
    assert len(sentence) <= SENTENCE
    assert sentence.endswith(".")
    assert MARK not in answer.text
    assert MARK.lower() not in answer.text.lower()


@pytest.mark.parametrize("name", cases())
@pytest.mark.parametrize("path", ["plot", "v1/plots"])
def test_a_clients_fault_is_a_4xx(root: str, name: str, path: str):
    headers, body = cases()[name]
    both = path == "plot" or name not in ("form: two pictures", "form: two titles")
    answer = requests.post(f"{root}/api/{path}", data=body, headers=headers, timeout=60)
    if path == "v1/plots" and (name.startswith("JSON") or not both or answer.status_code == 200):
        # Of several, each has its own; and JSON has posters, which the bodies above have not.
        assert answer.status_code in range(200, 500)
        if answer.status_code == 200:
            for result in answer.json()["results"]:
                assert "plot" in result or result["status"] in range(400, 500)
            assert MARK not in answer.text
            return
    assert answer.status_code in range(400, 500), answer.text
    is_one_sentence(answer)


@pytest.mark.parametrize("name", [*SETTINGS, "read_title"])
@pytest.mark.parametrize("text", ["", MARK, "1e999", "-77"])
def test_each_setting_says_what_it_must_be(address: str, name: str, text: str):
    answer = requests.post(address, data=setting(text, name), headers=FORM, timeout=60)
    assert answer.status_code == 400
    is_one_sentence(answer)
    assert answer.json()["error"].startswith(f"{name} must be ")


NOWHERE = [
    "/api", "/api/", "/api/v1", "/api/plot/", "/api/v2/plot", "/api/%00", f"/api/{MARK}",
    "/api/docs/assets/", f"/api/docs/assets/{MARK}",
]  # fmt: skip


@pytest.mark.parametrize("path", NOWHERE)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_path_is_a_404_in_json(root: str, path: str, method: str):
    answer = requests.request(method, f"{root}{path}", timeout=60)
    assert answer.status_code in ((404, 405) if "assets" in path else (404,))
    is_one_sentence(answer)


METHODS = {
    "plot": "POST",
    "v1/plots": "POST",
    "titles?q=a": "GET",
    "health": "GET",
    "v1/live": "GET",
}


@pytest.mark.parametrize(("path", "allowed"), METHODS.items())
def test_another_method_is_a_405_with_those_there_are(root: str, path: str, allowed: str):
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"} - {allowed}:
        answer = requests.request(method, f"{root}/api/{path}", timeout=60)
        assert answer.status_code == 405, method
        assert allowed in answer.headers["Allow"].split(", ")
        is_one_sentence(answer)
    assert requests.head(f"{root}/api/{path}", timeout=60).status_code == (
        200 if allowed == "GET" else 405
    )


@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS"])
def test_metrics_are_only_read(root: str, method: str):
    answer = requests.request(method, f"{root}/metrics", timeout=60)
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET"
    assert answer.headers["X-Request-ID"]
    is_one_sentence(answer)
    assert requests.head(f"{root}/metrics", timeout=60).status_code == 200


def spoken(root: str, request: bytes) -> bytes:
    """What the server says to bytes, until it hangs up."""
    place = urlsplit(root)
    assert place.hostname
    assert place.port
    with socket.create_connection((place.hostname, place.port), timeout=30) as connection:
        connection.sendall(request)
        said = b""
        while more := connection.recv(65536):
            said += more
    return said


def head(*lines: str) -> bytes:
    return "\r\n".join(
        ["POST /api/plot HTTP/1.1", "Host: x", "Connection: close", *lines, "", ""]
    ).encode()


@pytest.mark.parametrize(
    "request_of",
    [
        lambda: head("Content-Length: x"),
        lambda: head("Content-Length: -1"),
        lambda: head("Content-Length: 1", "Content-Length: 2", "", "x"),
        lambda: head("Transfer-Encoding: chunked", "Content-Type: application/json") + b"zz\r\n",
        lambda: head(f"Expect: {MARK}", "Content-Length: 0"),
        lambda: head("Expect: 100-continue", "Content-Length: 0", "Content-Type: application/json"),
        lambda: head("Content-Type: \xff\xfe", "Content-Length: 0"),
        lambda: head(f"X-Request-ID: {'x' * 5000}", "Content-Length: 0"),
        lambda: head("X-Request-ID: \u00e9<script>", "Content-Length: 0"),
        lambda: b"POST /api/plot HTTP/9.9\r\n\r\n",
    ],
)
def test_odd_http_is_a_4xx(root: str, request_of: Callable[[], bytes]):
    said = spoken(root, request_of()).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert said.split()[1].startswith(b"4"), said
    assert MARK.encode() not in said


def test_a_body_that_breaks_off_harms_nobody(root: str, address: str):
    place = urlsplit(root)
    assert place.hostname
    assert place.port
    with socket.create_connection((place.hostname, place.port), timeout=30) as connection:
        connection.sendall(
            head(f"Content-Type: {FORM['Content-Type']}", "Content-Length: 9999") + IMAGE[:50]
        )
    assert requests.post(address, data=IMAGE + END, headers=FORM, timeout=60).status_code == 200


def test_what_is_unusual_and_right_is_taken(address: str):
    for body in (
        IMAGE + part('name="title"', b"") + END,
        IMAGE + part('name="num_beams"', b" 2 ") + END,
        IMAGE + part('name="sample"', b"True") + END,
        IMAGE + b"--b--",
    ):
        assert requests.post(address, data=body, headers=FORM, timeout=60).status_code == 200, body[
            -80:
        ]
    for kind in ("application/json", "Application/JSON; charset=UTF-8"):
        body = b"\xef\xbb\xbf" + as_json(image=PICTURE, name="a.png", num_beams=2.0, guidance=None)
        answer = requests.post(address, data=body, headers={"Content-Type": kind}, timeout=60)
        assert answer.status_code == 200, answer.text
        assert answer.json()["source"] == "a.png"
    for encoding in ("", "identity"):
        headers = FORM | {"Content-Encoding": encoding}
        answer = requests.post(address, data=IMAGE + END, headers=headers, timeout=60)
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"min_length": 77, "max_length": 61}, "minimum length lies above the maximum"),
        ({"num_candidates": 13, "num_beams": 11}, "no more candidates than it has beams"),
    ],
)
def test_settings_that_contradict_each_other_are_not_repeated(
    address: str, settings: dict[str, int], says: str
):
    fields = {name: str(value) for name, value in settings.items()}
    for answer in (
        requests.post(address, files={"image": POSTER}, data=fields, timeout=60),
        requests.post(address, json={"image": PICTURE, **settings}, timeout=60),
    ):
        assert answer.status_code == 400
        is_one_sentence(answer)
        assert says in answer.json()["error"]
        assert not [each for each in fields.values() if each in answer.text]


UNFILLED = part('name="image"; filename=""', b"")
THE_TITLE = part('name="title"', ID.encode())
NO_TITLE = part('name="title"', b"")


def test_a_file_field_in_which_nothing_was_chosen_is_none(root: str, address: str):
    """Browsers send an empty file without a name for it."""

    def posted(url: str, *parts: bytes) -> requests.Response:
        return requests.post(url, data=b"".join(parts) + END, headers=FORM, timeout=60)

    one: list[tuple[bytes, ...]] = [
        (UNFILLED, THE_TITLE),
        (THE_TITLE, UNFILLED, UNFILLED),
        (IMAGE, UNFILLED),
        (UNFILLED, IMAGE, NO_TITLE),
    ]
    for parts in one:
        answer = posted(address, *parts)
        assert answer.status_code == 200, answer.text
        assert answer.json()["source"] == ("a.png" if IMAGE in parts else ID)
    assert posted(address, UNFILLED).status_code == 400
    named = part('name="image"; filename="a"', b"")
    assert posted(address, named, THE_TITLE).status_code == 400
    several: list[tuple[tuple[bytes, ...], list[str]]] = [
        ((UNFILLED, THE_TITLE), [ID]),
        ((IMAGE, NO_TITLE, UNFILLED, THE_TITLE), ["a.png", ID]),
        ((IMAGE, UNFILLED, UNFILLED), ["a.png"]),
        ((UNFILLED, NO_TITLE, IMAGE, NO_TITLE), ["a.png"]),
    ]
    for parts, sources in several:
        answer = posted(f"{root}/api/plots", *parts)
        assert answer.status_code == 200, answer.text
        assert [each["source"] for each in answer.json()["results"]] == sources


def test_an_empty_text_is_no_picture_beside_a_title(root: str, address: str):
    poster = {"image": "", "title": ID}
    assert requests.post(address, json=poster, timeout=60).json()["source"] == ID
    answer = requests.post(f"{root}/api/plots", json={"posters": [poster]}, timeout=60)
    assert answer.json()["results"][0]["source"] == ID
    assert requests.post(address, json={"image": ""}, timeout=60).status_code == 422


@pytest.mark.parametrize(
    "written",
    [
        f"data:image/png;base64,{PICTURE}",
        f"DATA:image/png;name=a.png;base64,{PICTURE}",
        base64.encodebytes(POSTER).decode(),
        base64.urlsafe_b64encode(POSTER).decode().rstrip("="),
    ],
)
def test_base64_is_taken_as_clients_write_it(address: str, written: str):
    answer = requests.post(address, data=as_json(image=written), headers=JSON, timeout=60)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("query", ["num_beams=8", "utm_source=x&title=tt1375666", "posters="])
def test_what_belongs_into_the_body_is_not_passed_over_in_the_address(address: str, query: str):
    answer = requests.post(f"{address}?{query}", data=IMAGE + END, headers=FORM, timeout=60)
    assert answer.status_code == 400
    is_one_sentence(answer)
    tracked = requests.post(f"{address}?utm_source=x", data=IMAGE + END, headers=FORM, timeout=60)
    assert tracked.status_code == 200
