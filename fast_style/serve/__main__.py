"""Serve styles: python -m fast_style.serve --models pretrained --port 8501

Speaks TensorFlow Serving's REST API (GET /v1/models/NAME, POST /v1/models/NAME:predict), takes
plain pictures (POST /stylize/NAME), and shows a page at /.
"""

import os
import re
from argparse import ArgumentTypeError
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path

from fast_style.command_line import OneLineParser, at_least_1, exit_on_user_error, number_of_bytes
from fast_style.errors import UserError
from fast_style.files import read_bytes
from fast_style.hardware import free_memory

NEEDED = ("starlette", "uvicorn", "python_multipart", "prometheus_client")
TOKEN = "FAST_STYLE_TOKEN"
# Of a header. Also what a connection that never ends one can make the server hold.
HEADER_BYTES = 16_384


def main() -> None:
    parser = OneLineParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--models",
        type=Path,
        nargs="+",
        default=[Path("pretrained")],
        help="model folders, or folders of such",
    )
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0: for other machines too")
    parser.add_argument("--port", type=int, default=8501)
    who = parser.add_argument_group("who may ask")
    who.add_argument(
        "--token-file", type=Path, help=f"holds what every request has to show; or ${TOKEN}"
    )
    who.add_argument(
        "--allow-origin", nargs="+", default=[], help="web pages that may ask: https://example.com"
    )
    who.add_argument(
        "--allow-host",
        type=_host_name,
        nargs="+",
        default=[],
        help="names that the server answers to; *.example.com for all of a domain",
    )
    how_much = parser.add_argument_group("limits")
    how_much.add_argument("--queue", type=at_least_1, default=64, help="requests that may wait")
    how_much.add_argument(
        "--max-body", type=number_of_bytes, default=64_000_000, help="such as 64MB"
    )
    how_much.add_argument(
        "--max-bodies", type=number_of_bytes, default=512_000_000, help="of all requests together"
    )
    how_much.add_argument(
        "--max-pixels", type=at_least_1, default=50_000_000, help="of a request's pictures"
    )
    how_much.add_argument(
        "--max-memory",
        type=number_of_bytes,
        help="of a pass; default: half of what is free at the start",
    )
    how_much.add_argument(
        "--max-connections", type=at_least_1, default=1000, help="open at once; 503 beyond"
    )
    how_much.add_argument(
        "--body-seconds", type=_seconds, default=60.0, help="for a request's body to arrive"
    )
    how_much.add_argument(
        "--finish-seconds", type=at_least_1, default=30, help="for what waits, after SIGTERM"
    )
    parser.add_argument("--runtime", default="auto", choices=["auto", "tensorflow", "openvino"])
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16"])
    args = parser.parse_args()
    missing = [package for package in NEEDED if not find_spec(package)]
    if missing:
        raise UserError(f"serving needs {', '.join(missing)}: pip install 'fast-style[serve]'")

    import uvicorn

    from fast_style.serve.access import LOOPBACK, Access
    from fast_style.serve.app import Limits, application
    from fast_style.serve.memory import give_memory_back
    from fast_style.serve.models import Models

    give_memory_back()
    token = _token(args.token_file)
    memory = args.max_memory or free_memory() // 2
    models = Models(args.models, args.runtime, args.precision, memory)
    hosts = (*LOOPBACK, args.host, *args.allow_host)
    # On other interfaces its names are unknown, unless they are given.
    knows_its_names = _is_loopback(args.host) or args.allow_host
    access = Access(token, tuple(args.allow_origin), hosts if knows_its_names else ("*",))
    limits = Limits(
        capacity=args.queue,
        body_bytes=args.max_body,
        bytes_together=args.max_bodies,
        body_seconds=args.body_seconds,
        pixels=args.max_pixels,
    )
    print(f"{len(models.styles)} styles: {', '.join(models.styles)}")
    print(f"http://{args.host}:{args.port}/ shows them")
    if not (_is_loopback(args.host) or token):
        print(f"anyone who reaches this machine may use it; ${TOKEN} or --token-file sets a token")
    uvicorn.run(
        application(models, limits, access),
        host=args.host,
        port=args.port,
        http="h11",
        ws="none",
        h11_max_incomplete_event_size=HEADER_BYTES,
        # uvicorn answers 503 when this many are open, and counts the one that asks.
        limit_concurrency=args.max_connections + 1,
        server_header=False,
        log_level="error",  # a warning for each bad request is a way to fill a disk
        timeout_graceful_shutdown=args.finish_seconds,
    )


def _token(path: Path | None) -> str | None:
    # No flag holds it: everybody on the machine can list the flags of a process.
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
        raise ArgumentTypeError(f"{text} is not a name without a port, such as style.example.com")
    return text


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return value


if __name__ == "__main__":
    exit_on_user_error(main)
