"""A form is parsed as it arrives: the same at every split, and as Python's own parser does."""

import tracemalloc
from email import message_from_bytes
from email.policy import HTTP

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.batteries.uploads.multipart import (
    FormScanner,
    boundary_of,
    model_part,
)
from llmproxy.errors import ClientError

BOUNDARY = b"bOuNd"
TYPE = b"multipart/form-data; boundary=bOuNd"


def field(name: str, value: bytes, *, extra: bytes = b"") -> bytes:
    disposition = b'Content-Disposition: form-data; name="%s"%s' % (name.encode(), extra)
    return b"--bOuNd\r\n" + disposition + b"\r\n\r\n" + value + b"\r\n"


def file(name: str, content: bytes) -> bytes:
    kind = b'; filename="a.wav"\r\nContent-Type: audio/wav'
    return field(name, content, extra=kind)


END = b"--bOuNd--\r\n"


def scanned(body: bytes, cuts: list[int] | None = None, content_type: bytes = TYPE) -> FormScanner:
    scanner = FormScanner(content_type)
    start = 0
    for cut in [*sorted(cuts or []), len(body)]:
        scanner.feed(body[start:cut])
        start = cut
    return scanner


def found(scanner: FormScanner) -> tuple[object, ...]:
    return (
        scanner.model,
        scanner.model_span,
        scanner.stream,
        scanner.first_part_at,
        scanner.finished,
    )


@pytest.mark.parametrize(
    "body",
    [
        field("model", b"whisper-1") + file("file", b"RIFF" * 50) + END,
        file("file", b"RIFF" * 50) + field("model", b"whisper-1") + END,
        b"a preamble\r\n" + file("file", b"") + field("model", b"whisper-1") + END + b"an epilogue",
    ],
    ids=["before the file", "behind the file", "with preamble and epilogue"],
)
def test_the_model_is_found_wherever_it_stands(body):
    scanner = scanned(body)
    assert scanner.model == "whisper-1"
    start, end = scanner.model_span
    assert body[start:end] == b"whisper-1"
    assert scanner.finished


def test_a_form_gives_the_same_at_every_single_split():
    body = (
        b"pre\r\n" + file("file", b"\r\n--bOuN\r\n-") + field("model", b"w") + END + b"\r\nepilogue"
    )
    whole = found(scanned(body))
    assert whole[0] == "w"
    for cut in range(len(body) + 1):
        assert found(scanned(body, [cut])) == whole
    assert found(scanned(body, list(range(len(body))))) == whole


LOOKALIKES = [
    b"--bOuNd\r\n",  # no CRLF before it
    b"\r\n--bOuNdX\r\n",  # longer
    b"\r\n--bOuNd x\r\n",  # something behind it
    b"\r\n--bOuN",
    b"\r\n-",
    b"\n",
    b"\r",
    b'\r\nContent-Disposition: form-data; name="model"\r\n\r\nevil\r\n',
    b"\x00\xff",
]
CONTENTS = st.lists(st.sampled_from(LOOKALIKES), max_size=8).map(b"x".join)


@given(CONTENTS, CONTENTS, st.data())
def test_bytes_of_a_file_that_look_like_a_boundary_are_content(before, after, data):
    body = file("file", b"x" + before) + field("model", b"m-1") + file("mask", b"x" + after) + END
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=6))
    scanner = scanned(body, cuts)
    assert scanner.model == "m-1"
    start, end = scanner.model_span
    assert body[start:end] == b"m-1"
    assert scanner.finished


NAMES = st.sampled_from(["model", "stream", "prompt", "Model", "model ", "n"])
VALUES = st.text("abc-.\N{SNOWMAN} true01", max_size=12).map(lambda text: text.encode())


@given(
    st.lists(st.tuples(NAMES, st.booleans(), VALUES), max_size=5, unique_by=lambda part: part[0]),
    st.data(),
)
def test_it_reads_what_pythons_own_parser_reads(parts, data):
    body = b"".join((file if is_file else field)(name, value) for name, is_file, value in parts)
    body += END
    message = message_from_bytes(b"Content-Type: " + TYPE + b"\r\n\r\n" + body, policy=HTTP)
    fields = {
        part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
        for part in message.iter_parts()
        if part.get_filename() is None
    }
    scanner = scanned(body, data.draw(st.lists(st.integers(0, len(body)), max_size=4)))
    model = fields.get("model")
    assert scanner.model == (None if model is None else model.decode())
    assert scanner.stream == (fields.get("stream", b"").strip() in (b"true", b"1"))
    assert scanner.finished


@pytest.mark.parametrize(
    ("header", "model"),
    [
        (b'Content-Disposition: form-data; name="model"', "m"),
        (b"content-disposition:form-data;name=model", "m"),
        (b'CONTENT-DISPOSITION: form-data; NAME="mo\\del"', "m"),
        (b'Content-Type: text/plain\r\nContent-Disposition: form-data;\r\n name="model"', "m"),
        (b'Content-Disposition: form-data; name="model"; filename="x"', None),
        (b"Content-Disposition: form-data; name=\"model\"; filename*=utf-8''x", None),
        (b'Content-Disposition: form-data; name="file"; title="; name=model"', None),
        (b'Content-Disposition: form-data; title="a \\"; name=x"; name="model"', "m"),
        (b'Content-Type: text/plain; name="model"', None),
        (b"X: y", None),
    ],
)
def test_a_parts_name_is_read_from_its_disposition_only(header, model):
    assert scanned(b"--bOuNd\r\n" + header + b"\r\n\r\nm\r\n" + END).model == model


def test_parts_without_headers_or_without_content_are_passed_over():
    body = b"--bOuNd\r\n\r\nno headers\r\n--bOuNd\r\nX: y\r\n\r\n" + field("model", b"m") + END
    assert scanned(body).model == "m"


def test_a_model_part_without_content_names_no_model():
    body = b'--bOuNd\r\nContent-Disposition: form-data; name="model"\r\n\r\n' + END
    scanner = scanned(body)
    assert (scanner.model, scanner.model_span, scanner.finished) == (None, None, True)


def test_white_space_behind_a_boundary_is_allowed():
    body = field("model", b"m").replace(b"bOuNd\r\n", b"bOuNd \t \r\n") + b"--bOuNd--  \r\n"
    for cut in range(len(body)):
        assert scanned(body, [cut]).model == "m"


@pytest.mark.parametrize("value", [b"true", b"True", b"1", b" on "])
def test_stream_is_true_in_every_usual_spelling(value):
    assert scanned(field("stream", value) + END).stream


@pytest.mark.parametrize("value", [b"false", b"0", b"", b"truely"])
def test_any_other_stream_is_false(value):
    assert not scanned(field("stream", value) + END).stream


def test_an_incomplete_form_is_not_finished_but_has_the_fields_so_far():
    scanner = scanned(field("model", b"m") + file("file", b"data"))
    assert scanner.model == "m"
    assert not scanner.finished


def test_an_incomplete_value_is_not_reported():
    assert scanned(field("model", b"gpt-4")[:-2]).model is None


def test_a_model_of_the_longest_accepted_length_is_read_and_one_more_byte_is_refused():
    assert scanned(field("model", b"m" * 1_024) + END).model == "m" * 1_024
    for cuts in ([], list(range(0, 2000, 7))):
        with pytest.raises(ClientError, match="longer than") as refused:
            scanned(field("model", b"m" * (1_024 + 1)) + END, cuts)
        assert refused.value.param == "model"


def test_an_endless_value_or_header_is_refused_before_it_is_held():
    with pytest.raises(ClientError, match="longer than"):
        scanned(field("model", b"m" * 3000)[:-2], list(range(0, 3000, 100)))
    with pytest.raises(ClientError, match="headers"):
        scanned(b"--bOuNd\r\nX: " + b"y" * 16_384 * 2, list(range(0, 30000, 1000)))


def test_a_large_part_without_headers_is_content_however_the_form_is_cut():
    body = b"--bOuNd\r\n\r\n" + b"x" * 20_000 + b"\r\n" + field("model", b"m") + END
    for cut in range(12):
        assert scanned(body, [cut]).model == "m"


def test_the_content_of_a_file_is_not_held():
    scanner = scanned(file("file", b"RIFF")[:-2])
    tracemalloc.start()
    try:
        for _ in range(100):
            scanner.feed(b"x" * 10_000)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["model", "stream"])
def test_a_field_that_is_given_twice_is_refused(name):
    with pytest.raises(ClientError, match="more than one field") as refused:
        scanned(field(name, b"a") + field(name, b"a") + END)
    assert refused.value.param == name


def test_a_model_that_is_not_utf8_is_refused():
    with pytest.raises(ClientError, match="UTF-8"):
        scanned(field("model", b"\xff") + END)


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        (b"multipart/form-data; boundary=abc", b"abc"),
        (b'Multipart/Form-Data;charset=utf-8; Boundary="a b;c"', b"a b;c"),
        (b"multipart/form-data; boundary=abc ; x=y", b"abc"),
        (
            b"multipart/form-data; boundary=----WebKitFormBoundary7MA4=",
            b"----WebKitFormBoundary7MA4=",
        ),
    ],
)
def test_boundaries_are_read_quoted_and_plain(content_type, boundary):
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize(
    "content_type",
    [
        b"multipart/form-data",
        b'multipart/form-data; boundary=""',
        b"multipart/form-data; boundary=" + b"x" * (256 + 1),
        b"application/json; boundary=x",
        b"",
    ],
)
def test_a_content_type_without_a_usable_boundary_is_refused(content_type):
    with pytest.raises(ClientError):
        FormScanner(content_type)


def test_a_big_upload_is_not_held():
    scanner = FormScanner(TYPE)
    scanner.feed(file("file", b"")[:-2])
    for _ in range(50):
        scanner.feed(bytes(65_536))
    held = sum(len(value) for value in vars(scanner).values() if isinstance(value, bytes))
    assert held < 1_000
    scanner.feed(b"\r\n" + field("model", b"m") + END)
    assert scanner.model == "m"


@pytest.mark.parametrize("preamble", [b"", b"preamble\r\n"])
@pytest.mark.parametrize("rest", [b"", file("file", b"x")])
def test_a_part_put_in_at_the_first_boundary_names_the_model(preamble, rest):
    body = preamble + rest + END
    at = scanned(body).first_part_at
    spliced = (
        body[:at] + model_part(BOUNDARY, "mod\N{LATIN SMALL LETTER E WITH ACUTE}l") + body[at:]
    )
    assert scanned(spliced).model == "mod\N{LATIN SMALL LETTER E WITH ACUTE}l"
    assert scanned(spliced).finished


def test_a_model_name_that_would_end_its_own_part_is_refused():
    with pytest.raises(ClientError, match="boundary"):
        model_part(BOUNDARY, "x\r\n--bOuNd--")
