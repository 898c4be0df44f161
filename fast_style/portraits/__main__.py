"""Say who is in a portrait: python -m fast_style.portraits who --database people.npz photo.jpg

python -m fast_style.portraits enroll --database people.npz "Ada Lovelace" 1.jpg 2.jpg
python -m fast_style.portraits verify --database people.npz "Ada Lovelace" photo.jpg
python -m fast_style.portraits train --people FOLDER --output models/faces
"""

from argparse import Namespace
from pathlib import Path

import numpy as np

from fast_style.command_line import OneLineParser, at_least_0, at_least_1, exit_on_user_error
from fast_style.errors import UserError, nearest
from fast_style.files import check_target
from fast_style.hardware import start_tensorflow
from fast_style.portraits.faces import Encoder, check_faces_installed, dlib_encoder, the_face
from fast_style.portraits.people import adding_to, check_name, distances, one_form, read_people

TASKS = {
    "enroll": "add pictures of a person to a database",
    "verify": "is it this person? The exit status is 0 if so, else 1",
    "who": "which person is it? The exit status is 1 for nobody known",
    "train": "train an encoder with the triplet loss",
}


def main() -> int:
    parser = OneLineParser(description="Say who is in a portrait. Nothing leaves this machine.")
    tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    for task, text in TASKS.items():
        flag = tasks.add_parser(task, help=text).add_argument
        if task == "train":
            flag("--people", type=Path, required=True, help="with a sub-folder for each person")
            flag("--output", type=Path, required=True, help="folder for the encoder")
            flag("--steps", type=at_least_1, default=1500)
            continue
        flag("--database", type=Path, required=True, help="such as people.npz")
        flag("--encoder", type=Path, help="folder of a trained encoder; default: dlib's")
        if task != "enroll":
            text = "largest distance of one person's faces; default: 0.6, or the trained encoder's"
            flag("--threshold", type=at_least_0, help=text)
        if task != "who":
            flag("name", type=one_form, help="of the person")
        several = "+" if task == "enroll" else 1
        flag("pictures", nargs=several, metavar="picture", help="a file with one face")
    args = parser.parse_args()
    check_faces_installed()
    if args.task == "train":
        start_tensorflow()
        from fast_style.portraits.training import make_encoder_folder, read_crops, train

        make_encoder_folder(args.output)
        train(*read_crops(args.people), args.output, args.steps)
        return 0
    encoder = _encoder(args.encoder)
    return _enroll(args, encoder) if args.task == "enroll" else _compare(args, encoder)


def _enroll(args: Namespace, encoder: Encoder) -> int:
    check_name(args.name)
    check_target(args.database)
    codes = _codes(args, encoder)
    with adding_to(args.database, encoder) as people:
        people[args.name] = np.concatenate([people.get(args.name, codes[:0]), codes])
    added = "1 picture" if len(codes) == 1 else f"{len(codes)} pictures"
    print(f"{args.name}: {added} added, {len(people[args.name])} in all")
    return 0


def _compare(args: Namespace, encoder: Encoder) -> int:
    people = read_people(args.database, encoder)
    if args.task == "verify" and args.name not in people:
        raise UserError(f"{args.name}: is not enrolled; {nearest(args.name, people)}")
    found = distances(people, _codes(args, encoder)[0])
    name = args.name if args.task == "verify" else min(found, key=found.__getitem__)
    threshold = encoder.threshold if args.threshold is None else args.threshold
    is_same = found[name] <= threshold
    if args.task == "verify":
        said = f"{name}: {'the same person' if is_same else 'another person'}"
    else:
        said = name if is_same else "nobody known"
    print(f"{said}, distance {found[name]:.2f}, threshold {threshold:.2f}")
    return 0 if is_same else 1


def _encoder(folder: Path | None) -> Encoder:
    if folder is None:
        return dlib_encoder()
    start_tensorflow()
    from fast_style.portraits.training import read_encoder

    return read_encoder(folder)


def _codes(args: Namespace, encoder: Encoder) -> np.ndarray:
    return encoder.codes(np.stack([the_face(picture).crop for picture in args.pictures]))


if __name__ == "__main__":
    exit_on_user_error(main)
