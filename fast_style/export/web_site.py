"""A web site that stylizes in the browser: a static folder for any file host.

The page is the server's (serve/page); what asks the server there is done by the files in web/.
"""

import base64
import gzip
import hashlib
import importlib.metadata
import io
import json
import re
import tarfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from fast_style.conf.locations import PROJECT
from fast_style.conf.names import as_name
from fast_style.errors import UserError, check_installed
from fast_style.export import check_new, check_style, export, onnx_file, unfinished
from fast_style.export.formats import Comparison
from fast_style.files import downloads, fetched, make_folder, read_bytes, write_atomically
from fast_style.model_folder.model import read_model
from fast_style.network.style_mix import name_in_style
from fast_style.pictures.images import Picture, encode_picture, read_picture
from fast_style.pictures.pixels import fit_within, square

FORMAT = "web"
WEB = Path(__file__).parent / "web"
PAGE = Path(__file__).parents[1] / "serve" / "page"
SHARED = ("page.css", "page.js", "brush.js", "live.js")  # of PAGE
SERVER_ONLY = r"\s*<!-- server -->.*?<!-- /server -->"  # of PAGE's index.html
HEAD = """\
  <link rel="manifest" href="manifest.json">
  <link rel="icon" href="icon.png">
  <link rel="apple-touch-icon" href="icon.png">
  <script src="local.js" defer></script>
</head>"""
SAMPLE = PROJECT / "img" / "sample.jpg"
SAMPLE_SIZE, ICON_SIZE = 240, 256

VERSION = "1.30.0"
INTEGRITY = (  # as npm lists it
    "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
)
ARCHIVE = f"onnxruntime-web-{VERSION}.tgz"
URL = f"https://registry.npmjs.org/onnxruntime-web/-/{ARCHIVE}"
MOST_BYTES = 100_000_000
# The files of a site, and those of the archive. Of its builds, this one has WebGPU and the CPU. The
# scripts end in .js, because some hosts do not know .mjs.
RUNTIME = {
    "ort.js": "ort.webgpu.min.mjs",
    "ort-wasm.js": "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm.wasm": "ort-wasm-simd-threaded.asyncify.wasm",
}
LICENCES = ("LICENSE", "ThirdPartyNotices.txt")  # of the Python package; the archive has none


def export_site(
    models: Sequence[Path],
    output: Path,
    *,
    style: str | None = None,
    half: bool = False,
    archive: Path | None = None,
) -> dict[str, list[Comparison]]:
    """Writes a site with the styles of model folders to the folder `output`.

    style: as in in_style; None: all styles of a model of several. half: store the weights in
    float16. archive: onnxruntime-web as npm packs it; None: it is fetched once, and kept. Returns
    the comparisons of each style's network, by its name in the site.
    Raises UserError, before any work, for an output that exists, a missing package, styles of the
    same name, and an archive that cannot be fetched or is another one; and as export does.
    """
    check_new(output)
    check_installed(f"--format {FORMAT}: needs", "onnx", "onnx", "onnxruntime")
    styles = _named(models, style)
    runtime = _runtime(archive)
    found, listed = {}, []
    with unfinished(output) as site:
        (site / "samples").mkdir(parents=True)
        for name, (folder, chosen) in styles.items():
            network = site / "networks" / f"{name}.onnx"
            found[name] = export(folder, network, "onnx", style=chosen, half=half)
            _draw(network, site, name)
            _pack(network)
            places = {"network": f"networks/{name}.onnx.gz", "sample": f"samples/{name}.jpg"}
            urls = {key: quote(place) for key, place in places.items()}
            artwork = str(read_model(folder).conf.get("artwork") or "")
            listed.append({"name": name, "artwork": artwork} | urls)
        (site / "LICENSE").write_text(_own_licence())
        (site / "styles.json").write_text(json.dumps(listed, indent=2))
        (site / "onnxruntime").mkdir()
        for name, data in runtime.items():
            (site / "onnxruntime" / name).write_bytes(data)
        _pack(site / "onnxruntime" / "ort-wasm.wasm")
        _write_page(site)
    return found


def _named(models: Sequence[Path], style: str | None) -> dict[str, tuple[Path, str | None]]:
    """Returns the model folder and the style there of each style of a site."""
    named: dict[str, tuple[Path, str | None]] = {}
    for folder in models:
        model = read_model(folder)
        check_style(model, FORMAT, style)
        several = style is None and len(model.styles) > 1
        for chosen in model.styles if several else [style]:
            name = chosen if several and chosen else as_name(name_in_style(folder.name, chosen))
            if name in named:
                raise UserError(f"--model {folder}: there is another style {name!r} for the site")
            named[name] = folder, chosen
    return named


def _runtime(archive: Path | None) -> dict[str, bytes]:
    """Returns the files of ONNX Runtime Web and its licences."""
    import onnxruntime

    if archive is not None:
        data = read_bytes(archive, at_most=MOST_BYTES)
        _check(data, f"--onnxruntime-web {archive}", f"npm has it at {URL}")
    elif (kept := downloads() / ARCHIVE).exists():
        data = read_bytes(kept, at_most=MOST_BYTES)
        _check(data, str(kept), "remove it, and it is fetched again")
    else:
        advice = f"download it elsewhere, and name the file with --onnxruntime-web {ARCHIVE}"
        data = fetched(URL, MOST_BYTES, advice)
        _check(data, URL, advice)
        make_folder(kept.parent)
        write_atomically(kept, data)
    files = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for name, member in RUNTIME.items():
            file = tar.extractfile(f"package/dist/{member}")
            assert file is not None
            files[name] = file.read()
    package = Path(onnxruntime.__file__).parent
    return files | {name: read_bytes(package / name) for name in LICENCES}


def _own_licence() -> str:
    """Returns the licence of this project, which asks for its text in every copy."""
    text = importlib.metadata.distribution("fast-style").read_text("licenses/LICENSE")
    assert text is not None
    return text


def _check(data: bytes, where: str, advice: str) -> None:
    found = f"sha512-{base64.b64encode(hashlib.sha512(data).digest()).decode()}"
    if found != INTEGRITY:
        raise UserError(
            f"{where}: is not {ARCHIVE} of npm: its hash is {found[:15]}..., and not "
            f"{INTEGRITY[:15]}...; {advice}"
        )


def _draw(network: Path, site: Path, name: str) -> None:
    """Writes the sample of a style, and the icon in the first style."""
    run, picture = onnx_file.load(network, "uint8"), read_picture(SAMPLE)
    sample = Picture(run(fit_within(picture, SAMPLE_SIZE).rgb[None])[0])
    (site / "samples" / f"{name}.jpg").write_bytes(encode_picture(sample, ".jpg", quality=85))
    if not (site / "icon.png").exists():
        icon = Picture(run(square(picture.rgb, ICON_SIZE)[None])[0])
        (site / "icon.png").write_bytes(encode_picture(icon, ".png"))


def _pack(path: Path) -> None:
    """Replaces a file by its gzip, as many hosts do not compress what they send."""
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    path.unlink()


def _write_page(site: Path) -> None:
    """Writes the files of the page beside the rest of the site, the service worker last."""
    for path in [*(PAGE / name for name in SHARED), *WEB.iterdir()]:
        (site / path.name).write_bytes(path.read_bytes())
    html = (PAGE / "index.html").read_text(encoding="utf-8")
    html = re.sub(SERVER_ONLY, "", html, flags=re.DOTALL).replace("</head>", HEAD)
    (site / "index.html").write_text(html, encoding="utf-8")
    files = {
        path.relative_to(site).as_posix(): path.read_bytes()
        for path in sorted(site.rglob("*"))
        if path.is_file()
    }
    large = ("networks/", "onnxruntime/")  # kept by the service worker when they are used
    shell = ["./", *(quote(name) for name in files if not name.startswith(large))]
    version = hashlib.sha256(b"".join(files.values())).hexdigest()[:16]
    constants = f"const VERSION = {json.dumps(version)};\nconst SHELL = {json.dumps(shell)};\n"
    worker = site / "service_worker.js"
    worker.write_text(constants + worker.read_text(encoding="utf-8"), encoding="utf-8")
