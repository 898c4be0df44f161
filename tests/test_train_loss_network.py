import keras
import numpy as np
import pytest
import tensorflow as tf

from fast_style.errors import UserError
from fast_style.loss.loss_network import build_loss_network
from fast_style.loss.vgg_weights import save_weights
from fast_style.train_loss_network import recipe
from fast_style.vgg_layers import PIXEL_MEAN, feature_name


@pytest.fixture(scope="module")
def classifier():
    """An untrained classifier whose batch normalization has seen something."""
    keras.utils.set_random_seed(0)
    model = recipe.build_classifier(classes=5)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            width = layer.gamma.shape[0]
            layer.set_weights(
                [
                    rng.uniform(0.5, 2, width),
                    rng.normal(0, 0.3, width),
                    rng.normal(0, 0.3, width),
                    rng.uniform(0.5, 2, width),
                ]
            )
    return model


@pytest.fixture(scope="module")
def photos():
    return np.random.default_rng(1).integers(0, 256, (2, 48, 48, 3), dtype=np.uint8)


def test_folded_network_has_the_classifiers_features(classifier, photos, tmp_path):
    save_weights(tmp_path / "folded.npz", recipe.fold(classifier))
    relus = [layer.output for layer in classifier.layers if isinstance(layer, keras.layers.ReLU)]
    expected = keras.Model(classifier.input, relus)(
        (photos.astype(np.float32) - PIXEL_MEAN) / recipe.PIXEL_SCALE
    )
    names = list(recipe.fold(classifier))
    network = build_loss_network("vgg_16_half", str(tmp_path / "folded.npz"), names)
    features = network(photos.astype(np.float32))
    for name, wanted in zip(names, expected, strict=True):
        found = np.asarray(features[feature_name(name, "vgg_16_half")])
        # The file keeps 11 bits of every weight.
        assert np.abs(found - wanted).max() < 0.02 * np.abs(wanted).max(), name


def test_equalized_layers_have_the_same_mean_activation(classifier, photos, tmp_path):
    weights = recipe.equalize(recipe.fold(classifier), photos, tmp_path)
    save_weights(tmp_path / "equal.npz", weights)
    network = build_loss_network("vgg_16_half", str(tmp_path / "equal.npz"), list(weights), "avg")
    for layer, features in network(photos.astype(np.float32)).items():
        assert float(tf.reduce_mean(features)) == pytest.approx(recipe.MEAN_ACTIVATION, rel=0.02), (
            layer
        )


@pytest.mark.parametrize("shape", [(27, 32), (90, 16)])
def test_newton_schulz_on_the_small_matrix_equals_the_plain_iteration(shape):
    matrix = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    ours = recipe.ConvolutionMuon().zeropower_via_newtonschulz5(tf.constant(matrix), 4)
    plain = keras.optimizers.Muon().zeropower_via_newtonschulz5(tf.constant(matrix), 4)
    np.testing.assert_allclose(ours, plain, atol=2e-4)


def test_muon_moves_kernels_and_adamw_the_rest(classifier):
    optimizer = recipe.ConvolutionMuon(1e-3)
    kernel, vector = classifier.trainable_variables[0], classifier.trainable_variables[1]
    assert not optimizer._should_use_adamw(kernel)
    assert optimizer._should_use_adamw(vector)


def test_reads_tfrecords_and_names_a_folder_without_any(tmp_path):
    example = tf.train.Example(
        features=tf.train.Features(
            feature={
                "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"jpeg"])),
                "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[3])),
            }
        )
    )
    with tf.io.TFRecordWriter(str(tmp_path / "train-00000-of-00001.tfrecord")) as writer:
        writer.write(example.SerializeToString())
    [(image, label)] = recipe.read_examples(str(tmp_path), "train")
    assert (image.numpy(), int(label)) == (b"jpeg", 3)
    with pytest.raises(UserError, match="validation-"):
        recipe.read_examples(str(tmp_path), "validation")
