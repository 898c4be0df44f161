"""What a conf file may say, and what is said about one that is wrong."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from fast_style.conf.conf_file import config_as_yaml, config_from_mapping, load_config
from fast_style.conf.config import PLACE_KEYS, Config
from fast_style.conf.names import as_name, check_name
from fast_style.errors import UserError

PROJECT = Path(__file__).resolve().parent.parent
PICTURE = str(PROJECT / "img" / "sample.jpg")

# Every key that the TF1 program knew, with values as its confs had them.
ORIGINAL_CONF = """
style_image: img/candy.jpg  # relative to where it was started
naming: "candy"
model_path: models

content_weight: 1.0
style_weight: 50.0
tv_weight: 0.0

image_size: 256
batch_size: 4
epoch: 2

loss_model: "vgg_16"
content_layers:
  - "vgg_16/conv3/conv3_3"
style_layers:
  - "vgg_16/conv1/conv1_2"
  - "vgg_16/conv2/conv2_2"
  - "vgg_16/conv3/conv3_3"
  - "vgg_16/conv4/conv4_3"
checkpoint_exclude_scopes: "vgg_16/fc"
loss_model_file: "pretrained/vgg_16.ckpt"
"""


def written(folder: Path, name: str = "conf.yml", **values: Any) -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump({"style_image": PICTURE, "naming": "a"} | values))
    return path


def complaint(path: Path, *overrides: str) -> str:
    with pytest.raises(UserError) as error:
        load_config(path, list(overrides))
    return str(error.value)


def test_a_conf_of_the_original_system_is_accepted_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("img").mkdir()
    Path("img/candy.jpg").write_bytes(Path(PICTURE).read_bytes())
    Path("candy.yml").write_text(ORIGINAL_CONF)
    config = load_config("candy.yml")
    given = yaml.safe_load(ORIGINAL_CONF)
    assert len(given) == 14
    for key, value in given.items():
        assert getattr(config, key) == value
    assert config.model_folder == Path("models/candy")
    names = ["relu1_2", "relu2_2", "relu3_3", "relu4_3"]
    assert config.style_layer_weights == {name: [1.0] for name in names}
    assert config.content_layer_weights == {"relu3_3": 1.0}


def test_two_keys_are_enough_and_the_others_default_to_the_published_recipe(
    tmp_path: Path,
) -> None:
    config = load_config(written(tmp_path))
    assert config == Config(style_image=PICTURE, naming="a")
    assert (config.image_size, config.batch_size, config.epoch, config.steps) == (256, 4, 2, None)
    assert (config.learning_rate, config.schedule, config.style_ramp) == (1e-3, "constant", 0.0)
    assert (config.style_statistics, config.style_normalization) == ("gram", "published")
    assert (config.output, config.dataset) == ("tanh", "coco/2014")


def test_a_base_is_read_below_the_conf_and_is_relative_to_it(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    written(tmp_path / "shared", "ground.yml", steps=10, seed=1, style_weight=5)
    (tmp_path / "shared" / "middle.yml").write_text("base: ground.yml\nsteps: 20\nseed: 2\n")
    (tmp_path / "top.yml").write_text("base: shared/middle.yml\nseed: 3\n")
    config = load_config(tmp_path / "top.yml")
    assert (config.style_weight, config.steps, config.seed) == (5.0, 20, 3)


def test_files_beside_their_conf_are_found_after_those_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "confs" / "base").mkdir(parents=True)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    confs = Path("../confs")
    for name in ("one.png", "two.png", "base/three.png"):
        (confs / name).write_bytes(Path(PICTURE).read_bytes())
    styles = {"one": "one.png", "web": "https://example.com/one.png"}
    (confs / "several.yml").write_text(yaml.safe_dump({"naming": "a", "style_images": styles}))
    assert load_config(confs / "several.yml").named_style_images == styles | {
        "one": str(confs / "one.png")
    }
    written(confs / "base", "base.yml", style_image="three.png", preview_images=["three.png"])
    (confs / "top.yml").write_text("base: base/base.yml\npreview_images: [two.png]\n")
    config = load_config(confs / "top.yml")
    assert config.style_image == str(confs / "base" / "three.png")
    assert config.preview_images == [str(confs / "two.png")]
    Path("three.png").write_bytes(Path(PICTURE).read_bytes())
    assert load_config(confs / "top.yml").style_image == "three.png"
    # What a training writes is read where it was trained.
    resolved = config_from_mapping(yaml.safe_load(config_as_yaml(config)), "models/a/conf.yml")
    assert resolved == config


def test_a_missing_file_is_told_with_the_folders_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "confs").mkdir()
    monkeypatch.chdir(tmp_path)
    path = written(Path("confs"), style_image="no.jpg")
    looked = f"{tmp_path}, {tmp_path / 'confs'}, {PROJECT}"
    assert complaint(path) == f"{path}: style_image: no file no.jpg; looked in {looked}"
    assert complaint(path, "style_image=set.jpg").endswith(f"looked in {tmp_path}, {PROJECT}")
    assert complaint(path, "style_image=/no.jpg") == "--set: style_image: no file /no.jpg"


def test_a_mistake_in_a_base_names_the_base(tmp_path: Path) -> None:
    base = written(tmp_path, "ground.yml", batch_size=0)
    (tmp_path / "top.yml").write_text("base: ground.yml\n")
    assert complaint(tmp_path / "top.yml") == f"{base}: batch_size: 0 is too small; at least 1"


def test_bases_that_lead_back_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("base: b.yml\n")
    (tmp_path / "b.yml").write_text("base: a.yml\n")
    assert "base: leads back to the same file" in complaint(tmp_path / "a.yml")


def test_overrides_stand_above_the_conf(tmp_path: Path) -> None:
    overrides = [
        "learning_rate=1e-3",
        "steps=7",
        "naming=b",
        "flip=true",
        "style_layers=[conv1_2, conv2_1]",
        "content_layers={conv3_3: 2}",
        "style_image_size=null",
    ]
    config = load_config(written(tmp_path, steps=5, learning_rate=0.1), overrides)
    assert config.learning_rate == 0.001 and isinstance(config.learning_rate, float)
    assert (config.steps, config.naming, config.flip) == (7, "b", True)
    assert config.style_layers == ["conv1_2", "conv2_1"]
    assert config.content_layers == {"conv3_3": 2.0}
    assert config.style_image_size is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("No. 5 #3", "No. 5 #3"),
        (" Hokusai, 1831 ", "Hokusai, 1831"),
        ("1831", "1831"),
        ("no", "no"),
        ("[a, b]", "[a, b]"),
        ("a: b", "a: b"),
        ("*@&!%", "*@&!%"),
        ("", ""),
        ("'quoted #1'", "quoted #1"),
        ('"a\\tb"', "a\tb"),
    ],
)
def test_an_override_of_a_text_is_the_text_as_it_stands(
    tmp_path: Path, text: str, value: str
) -> None:
    assert load_config(written(tmp_path), [f"artwork={text}"]).artwork == value


def test_an_override_of_a_key_of_several_kinds_is_the_likeliest(tmp_path: Path) -> None:
    def canvas(text: str) -> int | str | None:
        return load_config(written(tmp_path, canvas=1), [f"canvas={text}"]).canvas

    assert [canvas(text) for text in ("400", "x512", "'x512'", "null", "")] == [
        *(400, "x512", "x512"),
        *(None, None),
    ]


@pytest.mark.parametrize("name", ["[1].jpg", "a #1.jpg", "#1.jpg", "*a.jpg", "@a.jpg", "a: b.jpg"])
def test_a_style_image_may_have_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(Path(PICTURE).read_bytes())
    config = load_config(written(tmp_path), [f"style_image={name}"])
    assert config.style_image == name
    assert config_from_mapping(yaml.safe_load(config_as_yaml(config)), "there") == config


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("steps: 1\nflip: true\nsteps: 2", "the key 'steps' is there twice"),
        ("style_layers: {conv1_2: 1, conv1_2: 2}", "the key 'conv1_2' is there twice"),
        ("batch_size: 010", "010 means 8"),
        ("batch_size: -0_17", "-0_17 means -15"),
        ("steps: 1:30", "1:30 means 90"),
        ("style_weight: 1:30.5", "1:30.5 means 90.5"),
    ],
)
def test_what_yaml_would_read_otherwise_than_it_looks_is_refused(
    tmp_path: Path, line: str, said: str
) -> None:
    path = tmp_path / "conf.yml"
    path.write_text(f"style_image: {PICTURE}\nnaming: a\n{line}\n")
    message = complaint(path)
    assert message.startswith(f"{path}: is not valid YAML: {said}") and "line " in message


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("batch_size=010", "--set batch_size=010: is not valid YAML: 010 means 8"),
        ("steps", "--set steps: is not of the form key=value"),
        ("stepz=3", "--set: unknown key 'stepz'; did you mean 'steps'?"),
        ("steps=many", "--set: steps: 'many' is not a whole number"),
        ("flip=[", "--set flip=[: is not valid YAML"),
    ],
)
def test_a_wrong_override_is_named(tmp_path: Path, override: str, said: str) -> None:
    assert complaint(written(tmp_path), override).startswith(said)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("style_wieght", 5, "unknown key 'style_wieght'; did you mean 'style_weight'?"),
        ("batch_size", 0, "batch_size: 0 is too small; at least 1"),
        ("batch_size", 1.5, "batch_size: 1.5 is not a whole number"),
        ("batch_size", True, "batch_size: True is not a number"),
        ("learning_rate", 0, "learning_rate: 0 is too small; above 0"),
        ("learning_rate", "fast", "learning_rate: 'fast' is not a number"),
        ("content_weight", float("inf"), "content_weight: inf is not a finite number"),
        ("content_weight", -1, "content_weight: -1 is too small; at least 0"),
        ("style_ramp", 1.5, "style_ramp: 1.5 is too large; at most 1"),
        ("flip", "sometimes", "flip: 'sometimes' is not true or false"),
        ("naming", 5, "naming: 5 is not a text; quote it if it is meant as one"),
        ("naming", "a/b", "naming: 'a/b' is not a name in letters"),
        ("naming", "..", "naming: '..' is not a name in letters"),
        ("naming", "candy (v2)", "spaces and . - _, such as 'candy_v2_'"),
        ("naming", " candy", "is not a name in letters, digits, spaces and . - _, such as 'candy'"),
        ("naming", "...", "naming: '...' is not a name in letters"),
        ("naming", "", "naming: '' is not a name in letters"),
        ("loss_model", "vgg16", "loss_model: 'vgg16' is not valid; did you mean 'vgg_16'?"),
        ("pooling", "sum", "pooling: 'sum' is not valid; one of: max, avg"),
        (
            "style_image_median",
            4,
            "style_image_median: 4 is even; a median filter has an odd side",
        ),
        ("style_image_part", [0, 0, 1], "style_image_part: [0.0, 0.0, 1.0] is not left, top,"),
        ("style_image_part", [0.5, 0, 0.5, 1], "such as [0, 0.5, 1, 1] for the lower half"),
        ("network", "mediums", "network: 'mediums' is not valid; did you mean 'medium'?"),
        ("style_image", "no.jpg", "style_image: no file no.jpg"),
        ("preview_images", ["no.jpg"], "preview_images: no file no.jpg"),
        ("preview_images", ["https://a.b/c.jpg"], "preview_images: no file https://a.b/c.jpg"),
        ("style_layers", "conv3_3", "style_layers: 'conv3_3' is not a list of names"),
        ("style_layers", [], "style_layers: names no layer"),
        ("style_layers", {"conv3_3": "x"}, "is not a mapping of names to numbers"),
        ("style_layers", {"conv3_3": -1}, "contains a negative weight"),
        ("style_layers", {"conv3_3": [1, 0]}, "has 2 weights; style_scales is 1"),
        ("style_layers", {"conv3_3": ["x"]}, "is not a mapping of names to numbers"),
        ("style_scales", 5, "is too large; at most 4"),
        ("scales", [32, "x"], "scales: [32, 'x'] is not a list of whole numbers"),
        ("content_layers", {"conv3_3": [1, 0]}, "is not a mapping of names to numbers"),
        ("style_layers", ["conv3_3", "conv3_3"], "names something twice"),
        ("style_layers", ["conv3_3", "vgg_16/conv3/conv3_3"], "names a layer twice"),
        ("style_layers", ["conv9_9"], "style_layers: no layer 'conv9_9' in vgg_16; did you mean"),
        ("content_layers", ["conv3_4"], "content_layers: no layer 'conv3_4' in vgg_16; did you"),
    ],
)
def test_a_wrong_value_is_told_with_file_key_and_what_is_right(
    tmp_path: Path, key: str, value: Any, said: str
) -> None:
    path = written(tmp_path, **{key: value})
    message = complaint(path)
    assert message.startswith(f"{path}: ") and said in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"style_image": PICTURE}, "style_images: is given together with style_image; give one"),
        (
            {"style_images": ["a/sample.jpg", PICTURE]},
            "needs a name for each; a list takes the files'",
        ),
        ({"style_images": []}, "style_images: [] needs a name for each"),
        ({"style_images": {"a/b": PICTURE}}, "style_images: 'a/b' is not a name in letters"),
        ({"style_images": ["no.jpg"]}, "style_images: no file no.jpg"),
        ({"style_image_sha256": "0" * 64}, "and a mapping of names to hashes with style_images"),
        ({"style_image_sha256": {"twp": "0" * 64}}, "'twp' is none of the style_images; did you"),
        ({"style_image_sha256": {"two": "abc"}}, "'abc' is not a SHA-256"),
    ],
)
def test_wrong_style_images_are_told(tmp_path: Path, values: dict[str, Any], said: str) -> None:
    several = {"naming": "several", "style_images": {"one": PICTURE, "two": PICTURE}} | values
    path = tmp_path / "several.yml"
    path.write_text(yaml.safe_dump(several))
    message = complaint(path)
    assert message.startswith(f"{path}: ") and said in message


def test_one_of_several_styles_is_a_conf_of_its_own(tmp_path: Path) -> None:
    other = tmp_path / "other.jpg"
    other.write_bytes(Path(PICTURE).read_bytes())
    digests = {"other": "0" * 64}
    values = {"naming": "several", "style_images": [PICTURE, str(other)]}
    config = config_from_mapping(values | {"style_image_sha256": digests}, "conf")
    assert config.named_style_images == {"sample": PICTURE, "other": str(other)}
    one = config.of_style("other")
    assert (one.style_image, one.style_images) == (str(other), None)
    assert one.style_image_sha256 == "0" * 64
    assert config.of_style("sample").style_image_sha256 is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("candy", "candy"),
        ("my style-2.0_b", "my style-2.0_b"),
        ("Größe 三", "Größe 三"),
        ("zoo-candy=0.6,wave=0.4", "zoo-candy_0.6_wave_0.4"),
        ("img/candy.jpg", "img_candy.jpg"),
        (" a\n", "a_"),
        ("...", "_"),
        ("", "_"),
    ],
)
def test_any_text_becomes_a_name(text: str, name: str) -> None:
    assert as_name(text) == name
    check_name(name)
    if text != name:
        with pytest.raises(UserError, match=r"^here: "):
            check_name(text, "here: ")


def test_a_layer_that_only_vgg_19_has_is_accepted_there(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, loss_model="vgg_19", style_layers=["conv3_4"]))
    assert config.style_layer_weights == {"relu3_4": [1.0]}


def test_a_warm_up_longer_than_the_training_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, steps=10, warmup_steps=10)
    assert complaint(path) == f"{path}: warmup_steps: 10 is not below steps: 10"


@pytest.mark.parametrize("key", ["style_image", "naming"])
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    values = {"style_image": PICTURE, "naming": "a"}
    del values[key]
    path = tmp_path / "conf.yml"
    path.write_text(yaml.safe_dump(values))
    assert complaint(path) == f"{path}: the key {key!r} is missing"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty; a conf file is a mapping of keys to values"),
        (b"- naming: a\n", "is a list; a conf file is a mapping of keys to values"),
        (b"candy", "is a str; a conf file is a mapping of keys to values"),
        (b"naming: [a\n", "is not valid YAML"),
        (b"\xff\xfe\xff", "is not valid YAML"),
        (b"base: [a]\n", "base: ['a'] is not the path of a conf file"),
    ],
)
def test_a_file_that_is_no_conf_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "conf.yml"
    path.write_bytes(content)
    assert complaint(path).startswith(f"{path}: {said}")


def test_a_conf_that_is_not_there_suggests_one_that_is(tmp_path: Path) -> None:
    written(tmp_path, "candy.yml")
    said = f"no such conf file; did you mean {str(tmp_path / 'candy.yml')!r}?"
    assert complaint(tmp_path / "cndy.yml") == f"{tmp_path / 'cndy.yml'}: {said}"
    assert "is a folder" in complaint(tmp_path)


def test_the_resolved_conf_is_read_back_as_it_was(tmp_path: Path) -> None:
    config = load_config(
        written(tmp_path, learning_rate=1e-5, style_layers={"conv1_2": 0.5}, data_dir="é", steps=3)
    )
    path = tmp_path / "resolved.yml"
    path.write_text(config_as_yaml(config), encoding="utf-8")
    assert load_config(path) == config
    assert config_from_mapping(dataclasses.asdict(config), "there") == config


def test_a_teacher_is_kept_with_its_weight() -> None:
    values = dataclasses.asdict(load_config(PROJECT / "conf" / "live.yml"))
    kept = {key: value for key, value in values.items() if key not in PLACE_KEYS}
    assert config_from_mapping(kept, "a model folder").teacher == "pretrained/candy_stable"


def test_every_shipped_conf_loads_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    confs = sorted((PROJECT / "conf").glob("**/*.yml"))
    contents = {path: yaml.safe_load(path.read_text(encoding="utf-8")) for path in confs}
    bases = {(path.parent / c["base"]).resolve() for path, c in contents.items() if "base" in c}
    styles = [path for path, content in contents.items() if "naming" in content]
    assert {"candy.yml", "quickstart.yml"} <= {path.name for path in styles}
    names = [load_config(path).naming for path in styles]
    assert len(set(names)) == len(names)
    # What is no style of its own is what others stand on.
    assert set(confs) - set(styles) <= bases


def test_every_key_is_explained_in_the_confs_that_others_begin_from() -> None:
    confs = ("conf/built_in.yml", "conf/gatys/lbfgs.yml")
    explained = "".join((PROJECT / conf).read_text(encoding="utf-8") for conf in confs)
    for field in dataclasses.fields(Config):
        assert re.search(rf"\b{field.name}\b", explained), field.name


def test_reading_a_conf_imports_neither_tensorflow_nor_keras() -> None:
    program = (
        "import sys, fast_style.conf.conf_file as c; c.load_config('conf/quickstart.yml');"
        "sys.exit(bool({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=PROJECT).returncode == 0
