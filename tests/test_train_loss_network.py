import dataclasses
import hashlib
import io
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fast_style.conf.vgg_layers import convolutions, feature_of
from fast_style.errors import UserError
from fast_style.loss.loss_network import build_loss_network
from fast_style.loss.vgg_weights import save_weights
from fast_style.model_folder.npz import read_arrays
from fast_style.pictures.images import Picture, write_picture
from fast_style.train_loss_network import __main__ as program
from fast_style.train_loss_network import pack

torch = pytest.importorskip("torch")

from fast_style.train_loss_network import recipe, training  # noqa: E402
from fast_style.train_loss_network.classifier import (  # noqa: E402
    LABEL_SMOOTHING,
    Classifier,
    classification_loss,
    fold,
)
from fast_style.train_loss_network.muon import Muon, orthogonal  # noqa: E402
from fast_style.train_loss_network.packs import SCHEMA, read_classes  # noqa: E402
from fast_style.train_loss_network.pictures import read_pictures  # noqa: E402

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def sets(tmp_path_factory, photo) -> Path:
    """Two sets: objects of two classes, PNG of 24x20, and paintings of three, JPEG of 40x56."""
    folder = tmp_path_factory.mktemp("sets")
    for name, kinds, size, ending in (
        ("objects", 2, (24, 20), "png"),
        ("paintings", 3, (40, 56), "jpg"),
    ):
        for kind in range(kinds):
            (folder / name / f"kind{kind}").mkdir(parents=True)
            for number in range(12):
                rgb = photo(*size, seed=number + 20 * kind)
                write_picture(folder / name / f"kind{kind}" / f"{number}.{ending}", Picture(rgb))
    return folder


@pytest.fixture(scope="module")
def packs(sets, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("packs") / "pack.parquet"
    pack.pack([sets / "objects", sets / "paintings"], file, side=32, validation=0.2)
    return file


@pytest.fixture(scope="module")
def classifier():
    """An untrained classifier whose batch normalization has seen something."""
    torch.manual_seed(0)
    model = Classifier("vgg_16_half", 5, "avg").eval()
    for norm in model.norms.values():
        torch.nn.init.uniform_(norm.weight, 0.5, 2)
        torch.nn.init.normal_(norm.bias, 0, 0.3)
        norm.running_mean.normal_(0, 0.3)
        norm.running_var.uniform_(0.5, 2)
    return model


@pytest.fixture(scope="module")
def photos():
    rng = np.random.default_rng(1)
    return torch.from_numpy(rng.integers(0, 256, (2, 48, 48, 3), dtype=np.uint8))


def settings(**changed) -> training.Settings:
    values = training.Settings("vgg_16_half", "avg", [16, 32], 4, 0.05, seed=0)
    return dataclasses.replace(values, **changed)


def beginning(packs: Path, **changed) -> training.Training:
    pictures, _ = read_pictures(packs, CPU)
    return training.Training(settings(**changed), read_classes(packs), pictures)


@pytest.mark.parametrize("pooling", ["avg", "max"])
def test_the_loss_network_has_the_features_that_the_classifier_had(
    classifier, photos, pooling, tmp_path
):
    model = Classifier("vgg_16_half", 5, pooling).eval()
    model.load_state_dict(classifier.state_dict())
    file = tmp_path / "folded.npz"
    save_weights(file, recipe.numpy_weights(fold(model)))
    with torch.no_grad():
        expected = model.features(photos.float())
    network = build_loss_network("vgg_16_half", str(file), list(map(feature_of, expected)), pooling)
    found = network(photos.numpy().astype(np.float32))
    for name, wanted in expected.items():
        wanted = wanted.permute(0, 2, 3, 1).numpy()
        ours = np.asarray(found[feature_of(name)])
        # The file keeps 11 bits of every weight.
        assert np.abs(ours - wanted).max() < 0.02 * np.abs(wanted).max(), name


def test_a_classifier_begins_with_what_a_loss_network_computes(classifier, photos):
    weights, _ = recipe.equalize(fold(classifier), photos)
    begun = Classifier("vgg_16_half", 5, "avg")
    begun.begin_with(weights, photos.float())
    expected = recipe.features(weights, photos, "avg")
    for name, layer in begun.features(photos.float()).items():
        factor = expected[name].norm() / layer.norm()
        torch.testing.assert_close(layer * factor, expected[name], rtol=1e-3, atol=0.01)


def test_a_training_begins_with_the_weights_of_a_file(classifier, packs, tmp_path):
    save_weights(tmp_path / "first.npz", recipe.numpy_weights(fold(classifier)))
    begun = beginning(packs, init_from=str(tmp_path / "first.npz")).classifier
    for name, (kernel, _) in fold(classifier).items():
        ours, theirs = begun.convolutions[name].weight.flatten(), kernel.flatten()
        torch.testing.assert_close(ours / ours.norm(), theirs / theirs.norm(), rtol=0, atol=1e-4)
    with pytest.raises(UserError, match=r"no file 'missing\.npz'"):
        beginning(packs, init_from="missing.npz")


def test_equalized_layers_have_the_same_mean_and_their_statistics_are_those_of_the_network(
    classifier, photos, tmp_path
):
    weights, layers = recipe.equalize(fold(classifier), photos)
    save_weights(tmp_path / "equal.npz", recipe.numpy_weights(weights))
    network = build_loss_network(
        "vgg_16_half", str(tmp_path / "equal.npz"), list(map(feature_of, weights)), pooling="avg"
    )
    found = network(photos.numpy().astype(np.float32))
    for name, (active, of_means) in layers.items():
        features = np.asarray(found[feature_of(name)], np.float64)
        assert features.mean() == pytest.approx(recipe.MEAN_ACTIVATION, rel=0.02), name
        assert active == pytest.approx((features > 0).mean(), abs=0.01)
        shares = []
        for one in features.reshape(len(features), -1, features.shape[-1]):
            mean = one.mean(axis=0)
            gram = one.T @ one / len(one)
            shares.append(np.linalg.norm(np.outer(mean, mean)) / np.linalg.norm(gram))
        assert of_means == pytest.approx(np.mean(shares), abs=0.01)


def test_each_set_has_a_head_of_its_own():
    set_of_label = torch.tensor([0, 0, 1, 1, 1])
    logits = torch.randn(3, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    labels = torch.tensor([1, 2, 4])
    loss = classification_loss(logits, labels, set_of_label)
    loss.backward()
    assert (logits.grad[0, 2:] == 0).all() and (logits.grad[1:, :2] == 0).all()
    assert (logits.grad[0, :2] != 0).all() and (logits.grad[1:, 2:] != 0).all()
    parts = [logits[:1, :2], logits[1:, 2:]]
    expected = [
        torch.nn.functional.cross_entropy(
            part, own, label_smoothing=LABEL_SMOOTHING, reduction="sum"
        )
        for part, own in zip(parts, [labels[:1], labels[1:] - 2], strict=True)
    ]
    assert loss.item() == pytest.approx(sum(expected).item() / 3, rel=1e-5)


@pytest.mark.parametrize("shape", [(2, 8, 90), (1, 32, 27)])
def test_orthogonal_keeps_singular_vectors_and_makes_singular_values_alike(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    u, s, v = torch.linalg.svd(matrices, full_matrices=False)
    found = u.mT @ orthogonal(matrices) @ v.mT
    values = found.diagonal(dim1=1, dim2=2)
    assert (found - torch.diag_embed(values)).abs().max() < 1e-3
    large = values[s > 0.05 * s.amax(dim=1, keepdim=True)]
    assert large.min() > 0.6 and large.max() < 1.3


def test_muon_turns_a_kernel_by_its_rate_and_holds_its_norm():
    kernel = torch.nn.Parameter(torch.randn(16, 8, 3, 3))
    with torch.no_grad():
        kernel.mul_(4 / kernel.norm())
    before = kernel.detach().clone()
    kernel.grad = torch.randn(16, 8, 3, 3)
    Muon([kernel], lr=0.05).step()
    after = kernel.detach()
    assert float(after.norm()) == pytest.approx(4)
    angle = torch.arccos((after * before).sum() / 16)
    assert 0.03 < float(angle) < 0.07


def test_packs_hold_the_pictures_of_all_sets_shrunk_and_those_for_validation(sets, packs):
    classes = read_classes(packs)
    assert classes.sets == ["objects", "paintings"]
    assert classes.set_of_label() == [0, 0, 1, 1, 1]
    trained, validation = read_pictures(packs, CPU)
    assert len(trained) + len(validation) == 60
    assert 0 < len(validation) < 30
    both = set(zip(trained.height.tolist(), trained.width.tolist(), strict=True))
    assert both == {(24, 20), (32, 45)}  # a PNG smaller than --side stays as it is
    first = next(i for i in range(len(trained)) if int(trained.label[i]) >= 2)
    name, kind = classes.names[int(trained.label[first])]
    start, area = int(trained.first[first]), 32 * 45
    ours = trained.pixels[start : start + area].reshape(32, 45, 3).numpy().astype(int)
    nearest = min(
        np.abs(ours - np.asarray(Image.open(path).convert("RGB").resize((45, 32)))).mean()
        for path in (sets / name / kind).iterdir()
    )
    assert nearest < 6


def test_a_whole_picture_at_its_own_size_is_cut_unchanged_and_mirrored(packs):
    pictures, _ = read_pictures(packs, CPU)
    small = int(torch.nonzero(pictures.height == 24)[0])
    start = int(pictures.first[small])
    rgb = pictures.pixels[start : start + 24 * 20].reshape(24, 20, 3)
    box = torch.tensor([[2.0, 0.0, 20.0, 20.0], [2.0, 0.0, 20.0, 20.0]])
    cut = pictures.cut(torch.tensor([small, small]), box, torch.tensor([False, True]), 20)
    torch.testing.assert_close(cut[0], rgb[2:22].float())
    torch.testing.assert_close(cut[1], rgb[2:22].float().flip(1))
    half = pictures.cut(torch.tensor([small]), box[:1], torch.tensor([False]), 10)
    means = rgb[2:22].float().reshape(10, 2, 10, 2, 3).mean(dim=(1, 3))
    torch.testing.assert_close(half[0], means)


def test_random_crops_are_parts_of_the_chosen_pictures_and_differ(packs):
    pictures, _ = read_pictures(packs, CPU)
    chosen = torch.tensor([0, 0, 30])
    crops = pictures.random_crops(chosen, 16, torch.Generator().manual_seed(0))
    assert crops.shape == (3, 16, 16, 3)
    assert 0 <= float(crops.min()) < float(crops.max()) <= 255
    assert not torch.equal(crops[0], crops[1])
    again = pictures.random_crops(chosen, 16, torch.Generator().manual_seed(0))
    torch.testing.assert_close(crops, again)


def test_a_larger_set_is_drawn_from_by_the_root_of_its_size(packs):
    run = beginning(packs)
    sets = run.set_of_label[run.pictures.label]
    widths = torch.diff(run.shares, prepend=torch.zeros(1))
    shares = torch.zeros(2, dtype=torch.float64).index_add_(0, sets, widths)
    roots = torch.bincount(sets).double().sqrt()
    torch.testing.assert_close(shares, roots / roots.sum())


def test_the_rate_rises_stays_and_falls_to_0():
    rates = [training.rate(step, 1000) for step in range(1000)]
    assert rates[0] < 0.05 and rates[200] == 1.0
    assert rates[-1] == pytest.approx(0.001 / training.DECAY)
    assert np.allclose(np.diff(rates[400:]), -0.001 / training.DECAY)


def test_a_resumed_training_equals_an_uninterrupted_one(packs, tmp_path, monkeypatch):
    _, validation = read_pictures(packs, CPU)
    whole = beginning(packs)
    training.train(whole, validation, tmp_path / "whole", steps=4)

    stopped = beginning(packs)
    step = stopped.step

    def stops_in_step_3(number: int, steps: int):
        if number == 2:
            raise KeyboardInterrupt
        return step(number, steps)

    monkeypatch.setattr(stopped, "step", stops_in_step_3)
    with pytest.raises(KeyboardInterrupt):
        training.train(stopped, validation, tmp_path / "parts", steps=4)
    resumed = beginning(packs)
    progress = training.train(resumed, validation, tmp_path / "parts", steps=4)
    assert progress.step == 4
    for name, tensor in whole.classifier.state_dict().items():
        torch.testing.assert_close(resumed.classifier.state_dict()[name], tensor, msg=name)

    with pytest.raises(UserError, match="was begun with batch_size 4, not 8"):
        training.train(beginning(packs, batch_size=8), validation, tmp_path / "parts", steps=4)
    with pytest.raises(UserError, match="was begun with steps 4, not 5"):
        training.train(beginning(packs), validation, tmp_path / "parts", steps=5)


def run(monkeypatch: pytest.MonkeyPatch, *flags: str | Path) -> None:
    monkeypatch.setattr(sys, "argv", ["train_loss_network", *map(str, flags)])
    program.main()


def test_the_program_writes_weights_and_a_card(packs, photos, tmp_path, monkeypatch, capsys):
    (tmp_path / "photos").mkdir()
    for number, rgb in enumerate(photos):
        write_picture(tmp_path / "photos" / f"{number}.png", Picture(rgb.numpy()))
    monkeypatch.setattr(recipe, "CALIBRATION_SIDE", 48)
    monkeypatch.setattr(training, "ROUNDS", 3)
    output = tmp_path / "made" / "small.npz"
    flags = ["--data", packs, "--photos", tmp_path / "photos", "--minutes", "0.0001"]
    flags += ["--crops", "16", "32", "--batch-size", "4"]
    flags += ["--terms", "research only", "--folder", tmp_path / "run", "--output", output]
    with monkeypatch.context() as without:
        for module in ("tensorflow", "keras"):
            without.setitem(sys.modules, module, None)
        run(without, *flags)
    printed = capsys.readouterr().out
    assert "crops of 32:" in printed and f"are {training.ROUNDS} steps" in printed
    arrays = read_arrays(output)
    assert len(arrays) == 2 * len(convolutions("vgg_16_half"))
    build_loss_network("vgg_16_half", str(output), ["relu5_3"])
    card = output.with_suffix(".md").read_text()
    assert hashlib.sha256(output.read_bytes()).hexdigest() in card
    assert "research only" in card and "average pooling" in card
    assert "| objects | 2 | " in card and "| paintings | 3 | " in card
    assert "| block5_conv3 | " in card


def test_mistakes_are_one_line(packs, sets, tmp_path, monkeypatch):
    photos = ["--photos", sets / "objects", "--steps", "1", "--output", tmp_path / "out.npz"]
    for data in (sets, tmp_path / "none", sets / "objects" / "kind0" / "0.png"):
        with pytest.raises(UserError, match=r"is not a pack, which .*\.pack makes"):
            run(monkeypatch, "--data", data, *photos)
    with pytest.raises(UserError, match=r"must end in \.npz"):
        run(monkeypatch, "--data", packs, *photos, "--output", tmp_path / "out.md")
    with pytest.raises(UserError, match="15 is not at least 16"):
        run(monkeypatch, "--data", packs, *photos, "--crops", "15")
    with pytest.raises(UserError, match="--steps"):
        run(monkeypatch, "--data", packs, "--photos", sets / "objects")
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "torch", None)
        without.delitem(sys.modules, "fast_style.train_loss_network.recipe")
        with pytest.raises(UserError, match=r"pip install 'fast-style\[loss-network\]'"):
            run(without, "--data", packs, *photos)


def test_damaged_packs_are_named(packs, tmp_path):
    file, rows = tmp_path / "a.parquet", pq.read_table(packs).to_pylist()

    def refused(match: str, rows: list[dict], schema: pa.Schema = SCHEMA) -> None:
        pq.write_table(pa.Table.from_pylist(rows, schema), file)
        with pytest.raises(UserError, match=rf"a\.parquet: {match}"):
            read_pictures(file, CPU)

    refused("has no picture to train on", [row for row in rows if row["validation"]])
    refused("has no picture to validate on", [row for row in rows if not row["validation"]])
    refused("is not a pack.*other columns", rows, SCHEMA.remove(0))
    refused("is not a pack.*other columns", rows, SCHEMA.set(0, pa.field("set", pa.string())))
    cut = rows[7] | {"picture": rows[7]["picture"][:40]}
    refused("a picture of objects/kind0 is damaged", [*rows[:7], cut, *rows[8:]])
    file.write_bytes(packs.read_bytes()[:-100])
    with pytest.raises(UserError, match="is not a pack"):
        read_classes(file)


def test_pack_names_what_it_leaves_out_and_what_is_in_no_class(sets, tmp_path, capsys):
    kind = tmp_path / "mixed" / "kind"
    kind.mkdir(parents=True)
    good = io.BytesIO()
    Image.new("RGB", (40, 40)).save(good, "PNG")
    (kind / "good.png").write_bytes(good.getvalue())
    (kind / "cut.png").write_bytes(good.getvalue()[:60])
    pack.pack([tmp_path / "mixed"], tmp_path / "out", side=32, validation=0)
    printed = capsys.readouterr()
    assert "1 pictures of 1 classes in 1 sets; 1 left out" in printed.out
    assert len(printed.err.splitlines()) == 1 and "cut.png" in printed.err
    with pytest.raises(UserError, match="exists already; name a new file"):
        pack.pack([tmp_path / "mixed"], tmp_path / "out", side=32, validation=0)
    (tmp_path / "mixed" / "loose.png").write_bytes(good.getvalue())
    with pytest.raises(UserError, match=r"loose\.png: is in no class"):
        pack.pack([tmp_path / "mixed"], tmp_path / "other", side=32, validation=0)
    for no_folder in (tmp_path / "mixed" / "loose.png", tmp_path / "mix*", tmp_path / "none"):
        with pytest.raises(UserError, match="is not a folder; a set is FOLDER/CLASS/PICTURE"):
            pack.pack([no_folder], tmp_path / "other", side=32, validation=0)
    with pytest.raises(UserError, match="same name"):
        pack.pack([sets / "objects", sets / "objects"], tmp_path / "other", 32, 0)
    (tmp_path / "mixed" / "loose.png").unlink()
    (kind / "good.png").unlink()
    with pytest.raises(UserError, match="mixed: no picture can be read"):
        pack.pack([tmp_path / "mixed"], tmp_path / "other", side=32, validation=0)
    assert not (tmp_path / "other").exists()
