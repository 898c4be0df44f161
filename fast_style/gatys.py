"""Paint one picture by minimizing the objective over its pixels (Gatys, Ecker and Bethge 2016).

    python -m fast_style.gatys -c conf/candy.yml --content photo.jpg --output out.png

Minutes instead of one pass: the reference that feed-forward networks are measured against, and the
way to see what a loss network can carry before a network is trained against it.
"""

import numpy as np

from fast_style.config import Config, load_config
from fast_style.errors import OneLineParser, exit_on_user_error
from fast_style.hardware import start_tensorflow
from fast_style.images import Picture, fit_within, read_picture, write_picture


def optimize_pixels(
    content: np.ndarray, config: Config, *, steps: int, learning_rate: float = 8.0
) -> np.ndarray:
    """Adam over the pixels, starting from the content image and kept inside 0..255.

    content: (H, W, 3) uint8; returns the same. The style image has the size that the conf says.
    """
    import tensorflow as tf
    from tqdm import tqdm

    from fast_style.perceptual_loss import PerceptualLoss, prepare_style_image

    objective = PerceptualLoss(config, prepare_style_image(config))
    target = tf.constant(content[None], tf.float32)
    pixels = tf.Variable(target)
    optimizer = tf.keras.optimizers.Adam(learning_rate)
    optimizer.build([pixels])

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            terms = objective(pixels, target)
        optimizer.apply([tape.gradient(terms["total"], pixels)], [pixels])
        pixels.assign(tf.clip_by_value(pixels, 0.0, 255.0))
        return terms

    with tqdm(total=steps, unit=" steps") as progress:
        for _ in range(steps):
            terms = step()
            named = {name: float(terms[name]) for name in ("total", "content", "style", "tv")}
            progress.set_postfix(named, refresh=False)
            progress.update()
    return np.rint(pixels.numpy()[0]).astype(np.uint8)


def main() -> None:
    parser = OneLineParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-c", "--conf", required=True, help="conf file, such as conf/candy.yml")
    parser.add_argument("--content", required=True, help="the picture to paint")
    parser.add_argument("--output", required=True, help="where the painted picture goes")
    parser.add_argument("--steps", type=int, default=250, help="steps of Adam")
    parser.add_argument("--max-size", type=int, default=512, help="longest side")
    parser.add_argument("--set", action="append", metavar="KEY=VALUE", default=[], dest="overrides")
    args = parser.parse_args()
    config = load_config(args.conf, args.overrides)
    start_tensorflow()
    content = fit_within(read_picture(args.content), args.max_size)
    painted = optimize_pixels(content.rgb, config, steps=args.steps)
    write_picture(args.output, Picture(painted, content.alpha, content.icc_profile))
    print(args.output)


if __name__ == "__main__":
    exit_on_user_error(main)
