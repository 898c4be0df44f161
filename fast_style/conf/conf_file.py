"""Conversion of conf files, `base:` and `--set` to a Config, and back."""

import dataclasses
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from absl import logging

from fast_style.conf.config import (
    FILE_KEYS,
    OWN_FILES,
    STYLE_KEYS,
    Config,
    files_in,
    is_url,
    problems,
)
from fast_style.conf.locations import PROJECT, beside, locate, looked_in
from fast_style.conf.typed_values import WrongValue, check_limits, convert, kinds_of
from fast_style.errors import UserError, nearest
from fast_style.files import read_bytes


def load_config(path: str | Path, overrides: list[str] | None = None) -> Config:
    """Reads the conf file at `path` with its `base:` confs, and applies `key=value` overrides.

    An override's value is YAML, except for keys of texts, which get it unchanged. Raises UserError,
    which names the file, the key, the value and the nearest valid choice.
    """
    found = locate(str(path))
    if found != Path(path).expanduser():
        logging.warning("%s is not there; taking %s", path, found)
    values = _read_with_base(found, ())
    above: dict[str, _Sourced] = {}
    for override in overrides or []:
        key, separator, text = (part.strip() for part in override.partition("="))
        if not separator:
            raise UserError(f"--set {override}: is not of the form key=value")
        if key == "base":
            raise UserError(f"--set {override}: base is for conf files only; name the conf with -c")
        value = _value_of_override(text, HINTS.get(key), f"--set {override}")
        above[key] = _Sourced(value, "--set")
    return _checked_config(_overridden(values, above), str(found))


def config_from_mapping(values: Mapping[str, Any], source: str) -> Config:
    """Returns a Config from plain values, such as a model folder's; `source` is for messages."""
    sourced = {key: _Sourced(value, source) for key, value in values.items()}
    return _checked_config(sourced, source)


def config_as_yaml(config: Config) -> str:
    """Returns every key with its resolved value as the text of a conf file."""
    return as_yaml(dataclasses.asdict(config))


def as_yaml(conf: Mapping[str, Any]) -> str:
    """Returns the keys and values of a conf as the text of a conf file."""
    return yaml.safe_dump(dict(conf), sort_keys=False, allow_unicode=True)


FIELDS = {field.name: field for field in dataclasses.fields(Config)}
HINTS = typing.get_type_hints(Config)
MOST_BYTES = 1_000_000  # of a conf; the longest that ships has 5,000


@dataclass(frozen=True)
class _Sourced:
    """The value of a key, and the file or flag that it comes from, for messages."""

    value: Any
    source: str


class _PlainLoader(yaml.SafeLoader):
    """SafeLoader without aliases, which can expand a few lines to gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise _wrong(f"*{event.anchor} is an alias; write the value itself", event)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if str(key) in seen:
                raise _wrong(f"the key {key!r} is there twice", key_node)
            seen.add(str(key))
        return super().construct_mapping(node, deep)

    def number(self, node: Any) -> int | float:
        whole = node.tag.endswith(":int")
        value = self.construct_yaml_int(node) if whole else self.construct_yaml_float(node)
        if whole and abs(value) >= 2**63:
            raise _wrong("a whole number has more than 64 bits", node)
        # In YAML 1.1, 010 is an octal number and 1:30 a sexagesimal one.
        if ":" in node.value or (whole and re.match(r"[-+]?0[\d_]", node.value)):
            raise _wrong(
                f"{node.value} means {value} in YAML; write that, or put a text in quotes", node
            )
        return value


def _wrong(problem: str, where: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=where.start_mark)


for _kind in ("int", "float"):
    _PlainLoader.add_constructor(f"tag:yaml.org,2002:{_kind}", _PlainLoader.number)


def read_yaml(path: Path) -> Any:
    """Returns the content of a YAML file: plain values only, no Python objects.

    Raises UserError if it is missing, larger than MOST_BYTES or not valid YAML.
    """
    return _parse_yaml(read_bytes(path, at_most=MOST_BYTES), str(path))


def check_types(values: Mapping[str, Any], source: str) -> None:
    """Raises UserError if a value of a conf has the wrong type or is outside its limits.

    Unlike in config_from_mapping, unknown keys, missing keys and missing files are allowed.
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


def _parse_yaml(text: str | bytes, source: str) -> Any:
    try:
        return yaml.load(text, _PlainLoader)
    except RecursionError:
        raise UserError(f"{source}: is not valid YAML: lists are nested too deeply") from None
    # For wrong dates and numbers the constructors raise Python's own errors.
    except (yaml.YAMLError, ValueError, TypeError, ArithmeticError) as error:
        raise UserError(f"{source}: is not valid YAML: {error}") from error


def _value_of_override(text: str, hint: Any, source: str) -> Any:
    """Returns the value of a --set for a key of that type hint; None: the key is unknown.

    For a key of texts, # and [ have no special meaning: the text is read as YAML only if this gives
    another type that the key can have, or if it begins with a quote.
    """
    kinds = kinds_of(hint)
    try:
        value = _parse_yaml(text, source)
    except UserError:
        if str not in kinds:
            raise
        return text
    another_type = type(value) in kinds.keys() - {str} and text[:1] != "#"
    return value if str not in kinds or another_type or text[:1] in ("'", '"') else text


def _read_with_base(path: Path, seen: tuple[Path, ...]) -> dict[str, _Sourced]:
    if path.resolve() in seen:
        raise UserError(f"{path}: base: leads back to the same file")
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
    """Returns the keys of `below`, such as those of a base, overridden by those of `above`."""
    # A file of weights belongs to its loss_model, and a hash to its image.
    superseded = set()
    if "loss_model" in above:
        superseded = {"loss_model_file"}
    if any(key in above for key in STYLE_KEYS):
        superseded |= {"style_image", "style_image_sha256"}
    if "style_image" in above:
        superseded |= set(STYLE_KEYS)
    return {key: value for key, value in below.items() if key not in superseded} | above


def _files_beside(files: Any, folder: Path) -> Any:
    """Returns the value of a key that names files, or None, after locations.beside."""
    if isinstance(files, dict):
        return {name: _files_beside(file, folder) for name, file in files.items()}
    if isinstance(files, list):
        return [_files_beside(file, folder) for file in files]
    return files if files is None or is_url(files) else beside(files, folder)


def _checked_config(sourced: Mapping[str, _Sourced], path: str) -> Config:
    """Returns the Config. Raises UserError for unknown and missing keys and wrong values."""
    values = {}
    for key, given in sourced.items():
        if key not in FIELDS:
            likely = nearest(key, [*FIELDS, "base"])
            raise UserError(f"{given.source}: unknown key {key!r}; {likely}")
        values[key] = _converted(key, given.value, given.source)
        if key in FILE_KEYS:
            values[key] = _files_beside(values[key], Path(given.source).parent)
    no_style = all(values.get(key) is None for key in STYLE_KEYS)
    for key, missing in (("naming", "naming" not in values), ("style_image", no_style)):
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
