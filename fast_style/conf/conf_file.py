"""From conf files, `base:` and `--set` to a Config, and back."""

import dataclasses
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from absl import logging

from fast_style.conf.config import FILE_KEYS, OWN_FILES, Config, files_in, is_url, problems
from fast_style.conf.locations import PROJECT, beside, locate, looked_in
from fast_style.conf.typed_values import WrongValue, check_limits, convert, kinds_of
from fast_style.errors import UserError, nearest
from fast_style.files import read_bytes


def load_config(path: str | Path, overrides: list[str] | None = None) -> Config:
    """The conf file at `path`, its `base:` confs below it, `key=value` overrides on top.

    An override's value is YAML, except for a key that takes a text, which gets it unchanged.
    Raises UserError naming the file, the key, the value and the nearest valid choice.
    """
    path = _find_conf(Path(path))
    values = _read_with_base(path, ())
    above: dict[str, _Sourced] = {}
    for override in overrides or []:
        key, separator, text = (part.strip() for part in override.partition("="))
        if not separator:
            raise UserError(f"--set {override}: is not of the form key=value")
        if key == "base":
            raise UserError(f"--set {override}: base is for conf files only; name the conf with -c")
        value = _value_of_override(text, HINTS.get(key), f"--set {override}")
        above[key] = _Sourced(value, "--set")
    return _checked_config(_overridden(values, above), str(path))


def config_from_mapping(values: Mapping[str, Any], source: str) -> Config:
    """A Config from plain values, such as a model folder's conf.yml; `source` is for messages."""
    sourced = {key: _Sourced(value, source) for key, value in values.items()}
    return _checked_config(sourced, source)


def config_as_yaml(config: Config) -> str:
    """Every key with its resolved value, as load_config reads it back."""
    return as_yaml(dataclasses.asdict(config))


def as_yaml(conf: Mapping[str, Any]) -> str:
    """The keys and values of a conf as the text of a conf file."""
    return yaml.safe_dump(dict(conf), sort_keys=False, allow_unicode=True)


FIELDS = {field.name: field for field in dataclasses.fields(Config)}
HINTS = typing.get_type_hints(Config)


@dataclass(frozen=True)
class _Sourced:
    """The value of a key, and the file or flag that it comes from, for messages."""

    value: Any
    source: str


MOST_BYTES = 1_000_000
"""Of a conf; the longest that ships has 5,000."""

MOST_BASES = 20


_UNLIKELY = "{} stands for {} in YAML; write it so, or put a text in quotes"


class _PlainLoader(yaml.SafeLoader):
    """SafeLoader without aliases: a few lines of them stand for gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.composer.ComposerError(
                None, None, f"*{event.anchor} is an alias; write the value itself", event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict:
        there = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if str(key) in there:
                raise _wrong(f"the key {key!r} is there twice", key_node)
            there.add(str(key))
        return super().construct_mapping(node, deep)

    def whole_number(self, node: Any) -> int:
        value = self.construct_yaml_int(node)
        if abs(value) >= 2**63:
            raise _wrong("a whole number has more than 64 bits", node)
        # YAML 1.1 counts with a leading 0 in eights, and with colons in sixties.
        if re.match(r"[-+]?0[\d_]", node.value) or ":" in node.value:
            raise _wrong(_UNLIKELY.format(node.value, value), node)
        return value

    def real_number(self, node: Any) -> float:
        value = self.construct_yaml_float(node)
        if ":" in node.value:
            raise _wrong(_UNLIKELY.format(node.value, value), node)
        return value


def _wrong(problem: str, node: Any) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


_PlainLoader.add_constructor("tag:yaml.org,2002:int", _PlainLoader.whole_number)
_PlainLoader.add_constructor("tag:yaml.org,2002:float", _PlainLoader.real_number)


def read_yaml(path: Path) -> Any:
    """The content of a YAML file: plain values only, no Python objects.

    Raises UserError where it is missing, of more than MOST_BYTES or not valid YAML.
    """
    try:
        text = read_bytes(path, at_most=MOST_BYTES).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: cannot be read as a conf file: {error}") from error
    return _parse_yaml(text, str(path))


def check_types(values: Mapping[str, Any], source: str) -> None:
    """Raise UserError where a value of a conf has the wrong type or is outside its limits.

    Unlike config_from_mapping, unknown and missing keys are allowed, and so are missing files.
    """
    for key in FIELDS.keys() & values.keys():
        _converted(key, values[key], source)


def _converted(key: str, value: Any, source: str) -> Any:
    try:
        converted = convert(value, HINTS[key])
        check_limits(converted, FIELDS[key].metadata)
    except WrongValue as wrong:
        raise UserError(f"{source}: {key}: {value!r} {wrong}") from None
    return converted


def _parse_yaml(text: str, source: str) -> Any:
    try:
        return yaml.load(text, _PlainLoader)
    except RecursionError:
        raise UserError(f"{source}: is not valid YAML: has lists in lists without end") from None
    # Of dates and numbers that are none, the constructors raise what Python does.
    except (yaml.YAMLError, ValueError, TypeError, ArithmeticError) as error:
        raise UserError(f"{source}: is not valid YAML: {error}") from error


def _value_of_override(text: str, hint: Any, source: str) -> Any:
    """The value after the = of a --set, for a key of that type hint; None: the key is unknown.

    For a key that takes a text, # and [ have no special meaning: the text is read as YAML only
    where that gives another type that the key takes, or where it begins with a quote.
    """
    kinds = kinds_of(hint)
    if str not in kinds:
        return _parse_yaml_without_comment(text, source)
    try:
        value = _parse_yaml_without_comment(text, source)
    except UserError:
        return text
    return value if type(value) in kinds or text[:1] in ("'", '"') else text


def _parse_yaml_without_comment(text: str, source: str) -> Any:
    value = _parse_yaml(text, source)
    end = 0
    for token in yaml.scan(text):
        if "#" in text[end : token.start_mark.index]:
            raise UserError(f"{source}: a # begins a comment in YAML; leave it out, or quote all")
        end = token.end_mark.index
    return value


def _find_conf(path: Path) -> Path:
    """The conf file at `path`, or else that of the same path in the project, with a warning."""
    found = locate(str(path))
    if found != path.expanduser():
        logging.warning("%s is not there; taking %s", path, found)
    return found


def _read_with_base(path: Path, seen: tuple[Path, ...]) -> dict[str, _Sourced]:
    if path.resolve() in seen:
        raise UserError(f"{path}: base: leads back to the same file")
    if len(seen) > MOST_BASES:
        raise UserError(f"{path}: base: is the {len(seen)}th in a row; at most {MOST_BASES} are")
    if not path.exists():
        folders = (path.parent, PROJECT / path.parent)
        siblings = {str(path.parent / p.name) for folder in folders for p in folder.glob("*.yml")}
        likely = nearest(str(path), sorted(siblings) or ["a .yml file"])
        raise UserError(f"{path}: no such conf file; {likely}")
    content = read_yaml(path)
    if not isinstance(content, dict):
        kind = "empty" if content is None else f"a {type(content).__name__}"
        raise UserError(f"{path}: is {kind}; a conf file is a mapping of keys to values")
    base = content.pop("base", None)
    values: dict[str, _Sourced] = {}
    if base is not None:
        if not isinstance(base, str):
            raise UserError(f"{path}: base: {base!r} is not the path of a conf file")
        values = _read_with_base(path.parent / base, (*seen, path.resolve()))
    return _overridden(
        values, {str(key): _Sourced(value, str(path)) for key, value in content.items()}
    )


def _overridden(below: dict[str, _Sourced], above: dict[str, _Sourced]) -> dict[str, _Sourced]:
    """The keys of `below`, such as those of a base, with those of `above` in their place."""
    # A file of weights belongs to the network that it was named with, a hash to its image.
    superseded = set()
    if "loss_model" in above:
        superseded = {"loss_model_file"}
    if "style_image" in above or "style_images" in above:
        superseded |= {"style_image", "style_images", "style_image_sha256"}
    return {key: value for key, value in below.items() if key not in superseded} | above


def _files_beside(files: Any, folder: Path) -> Any:
    """The value of a key that names files, or None; as locations.beside has each of them."""
    if isinstance(files, dict):
        return {name: _files_beside(file, folder) for name, file in files.items()}
    if isinstance(files, list):
        return [_files_beside(file, folder) for file in files]
    return files if files is None or is_url(files) else beside(files, folder)


def _checked_config(sourced: Mapping[str, _Sourced], path: str) -> Config:
    """The Config of these keys. Raises UserError for unknown and missing keys and wrong values."""
    values = {}
    for key, given in sourced.items():
        if key not in FIELDS:
            likely = nearest(key, [*FIELDS, "base"])
            raise UserError(f"{given.source}: unknown key {key!r}; {likely}")
        values[key] = _converted(key, given.value, given.source)
        if key in FILE_KEYS:
            values[key] = _files_beside(values[key], Path(given.source).parent)
    images = [values.get("style_image"), values.get("style_images")]
    for key, missing in (("naming", "naming" not in values), ("style_image", images == [None] * 2)):
        if missing:
            raise UserError(f"{path}: the key {key!r} is missing")
    values.setdefault("loss_model_file", OWN_FILES[values.get("loss_model", "vgg_16")])
    config = Config(**values)
    sources = dict.fromkeys(FIELDS, path) | {key: given.source for key, given in sourced.items()}
    for key, problem in problems(config):
        raise UserError(f"{sources[key]}: {key}: {problem}")
    for key in FILE_KEYS:
        for name in files_in(getattr(config, key)):
            if not _is_there(config, name, is_style=key != "preview_images"):
                where = looked_in(name, Path(sources[key]).parent)
                raise UserError(f"{sources[key]}: {key}: no file {name}{where}")
    return config


def _is_there(config: Config, name: str, is_style: bool) -> bool:
    if name not in config.paths:  # a URL
        return is_style
    path = config.paths[name]
    return path.is_file() or (is_style and name != "" and path.is_dir())
