"""Serve styles: python -m fast_style.serve --models pretrained --port 8501

The server has TensorFlow Serving's REST API (GET /v1/models/NAME, POST /v1/models/NAME:predict),
takes plain pictures (POST /stylize/NAME), and has a web page at /.
"""

import os
import re
from argparse import ArgumentTypeError
from ipaddress import ip_address
from pathlib import Path

from fast_style.command_line import (
    OneLineParser,
    at_least_1,
    exit_on_user_error,
    minutes,
    number_of_bytes,
)
from fast_style.errors import UserError, check_installed
from fast_style.files import read_bytes
from fast_style.hardware import PRECISIONS, free_memory

TOKEN = "FAST_STYLE_TOKEN"


def main() -> None:
    parser = OneLineParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--models",
        type=Path,
        nargs="+",
        default=[Path("pretrained")],
        help="model folders, or folders of model folders",
    )
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 to accept other machines")
    parser.add_argument("--port", type=int, default=8501)
    access = parser.add_argument_group("access")
    access.add_argument(
        "--token-file", type=Path, help=f"file with the token of the clients; or set ${TOKEN}"
    )
    access.add_argument(
        "--allow-origin",
        nargs="+",
        default=[],
        help="sites whose pages may send requests, such as https://example.com",
    )
    access.add_argument(
        "--allow-host",
        type=_host_name,
        nargs="+",
        default=[],
        help="host names that the server answers to; *.example.com for all of a domain",
    )
    adding = parser.add_argument_group("styles that people add")
    adding.add_argument(
        "--learned", type=Path, default=Path("models"), help="the folder of these styles"
    )
    adding.add_argument(
        "--allow-learning",
        action="store_true",
        help="also on other interfaces than this machine's own; needs a token",
    )
    adding.add_argument(
        "--learning-conf", default="conf/built_in.yml", help="the conf of the trainings"
    )
    adding.add_argument("--max-styles", type=at_least_1, default=50, help="most styles")
    adding.add_argument("--max-minutes", type=minutes, default=10.0, help="of one training")
    limits = parser.add_argument_group("limits")
    for flag, kind, default, text in (
        ("--queue", at_least_1, 64, "most requests that wait or are worked on"),
        ("--max-body", number_of_bytes, 64_000_000, "bytes of one request, such as 64MB"),
        ("--max-bodies", number_of_bytes, 512_000_000, "bytes of all requests together"),
        ("--max-pixels", at_least_1, 50_000_000, "pixels of all pictures of one request"),
        (
            "--max-memory",
            number_of_bytes,
            None,
            "bytes of a pass; default: half of the free memory",
        ),
        ("--max-connections", at_least_1, 1000, "open connections; further ones get 503"),
        ("--body-seconds", _seconds, 60.0, "time in which the body of a request must arrive"),
        ("--finish-seconds", at_least_1, 30, "time to finish accepted requests after SIGTERM"),
    ):
        limits.add_argument(flag, type=kind, default=default, help=text)
    parser.add_argument("--runtime", default="auto", choices=["auto", "tensorflow", "openvino"])
    parser.add_argument(
        "--precision",
        default="auto",
        choices=PRECISIONS,
        help="int8 is fast on CPUs, and needs OpenVINO; see docs/stylize.md",
    )
    args = parser.parse_args()
    needed = ("starlette", "uvicorn", "python_multipart", "prometheus_client")
    check_installed("serving needs", "serve", *needed)

    from fast_style.serve.access import LOOPBACK, Access
    from fast_style.serve.app import application
    from fast_style.serve.http_server import serve
    from fast_style.serve.learning import Learning
    from fast_style.serve.limits import Limits
    from fast_style.serve.memory import give_memory_back
    from fast_style.serve.models import Models
    from fast_style.serve.own_styles import OwnStyles

    give_memory_back()
    token = _token(args.token_file)
    if args.allow_learning and not token:
        raise UserError(f"--allow-learning: needs a token: ${TOKEN} or --token-file")
    memory = args.max_memory or free_memory() // 2
    # A name that the server answers to is that of a proxy, through which others reach it.
    is_private = _is_loopback(args.host) and not args.allow_host
    own = OwnStyles(args.learned, args.max_styles)
    models = Models(args.models, args.runtime, args.precision, memory, own)
    learning = None
    if models.takes_any and (is_private or args.allow_learning):
        begins_from = next(iter(models.takes_any.values())).source.parent
        learning = Learning(own, begins_from, args.learning_conf, args.max_minutes)
    limited = Limits(
        capacity=args.queue,
        body_bytes=args.max_body,
        bytes_together=args.max_bodies,
        body_seconds=args.body_seconds,
        pixels=args.max_pixels,
    )
    # On other interfaces the server cannot know its names, so you have to give them.
    knows_its_names = _is_loopback(args.host) or args.allow_host
    hosts = (*LOOPBACK, args.host, *args.allow_host) if knows_its_names else ("*",)
    allowed = Access(token, tuple(args.allow_origin), hosts)
    app = application(models, limited, allowed, learning)
    print(f"{len(models.styles)} styles: {', '.join(models.styles)}")
    print(f"the page: http://{args.host}:{args.port}/")
    if not (_is_loopback(args.host) or token):
        print(f"anyone who reaches this machine can use it; set a token: ${TOKEN} or --token-file")
    serve(
        app,
        learning,
        host=args.host,
        port=args.port,
        http="h11",
        ws="none",
        # uvicorn answers 503 when this many connections are open, the current one included.
        limit_concurrency=args.max_connections + 1,
        server_header=False,
        log_level="error",  # warnings about bad requests could fill the disk
        timeout_graceful_shutdown=args.finish_seconds,
    )


def _token(path: Path | None) -> str | None:
    # It is not the value of a flag, because every user of the machine can list the flags.
    if path is None:
        return os.environ.get(TOKEN) or None
    token = read_bytes(path).decode(errors="replace").strip()
    if not token:
        raise UserError(f"--token-file {path}: is empty")
    return token


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _host_name(text: str) -> str:
    if not re.fullmatch(r"\*|(\*\.)?[\w.-]+|\[[\da-fA-F:.]+\]", text):
        raise ArgumentTypeError(f"{text} is not a host name without a port, such as a.example.com")
    return text


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return value


if __name__ == "__main__":
    exit_on_user_error(main)
