"""The pictures that a person names: files, folders, globs, Parquet files, and URLs of all these."""

from collections.abc import Iterable, Sequence

from fast_style.batch.parquet_rows import survey_rows
from fast_style.batch.picture_files import PictureFiles, Pictures
from fast_style.batch.stores import open_store
from fast_style.errors import UserError
from fast_style.output_names import pictures_and_insides, refuse_shared_targets, stylized_name
from fast_style.pictures.images import PICTURE_ENDINGS

PARQUET_ENDINGS = (".parquet", ".pq")


def find_inputs(specs: Sequence[str], models: Sequence[str], image: str, name: str) -> Pictures:
    """The pictures that files, folders, globs and URLs stand for.

    models: what stands behind a picture's name in the output. image, name: columns of Parquet.
    Raises UserError where there are none, where two would become one file, and where Parquet
    files and pictures are named together.
    """
    opened = [open_store(spec) for spec in specs]
    store = opened[0][0]
    if any(other != store for other, _ in opened):
        raise UserError(f"--input {' '.join(specs)}: do not all lie in one store")
    paths = [path for _, path in opened]
    in_rows = [path for path in paths if path.lower().endswith(PARQUET_ENDINGS)]
    if in_rows and len(in_rows) < len(paths):
        raise UserError("--input: takes pictures or Parquet files, not both in one run")
    if in_rows:
        found = _merged(store.find(path, PARQUET_ENDINGS) for path in paths)
        return survey_rows(store, found, image, name, models[0])
    if store.is_disk:
        insides = pictures_and_insides(paths).items()
        found = {str(picture): inside.as_posix() for picture, inside in insides}
    else:
        found = _merged(store.find(path, PICTURE_ENDINGS) for path in paths)
    every = ((path, stylized_name(p, model)) for path, p in found.items() for model in models)
    refuse_shared_targets("--input", every)
    return PictureFiles(store, found)


def _merged(found: Iterable[dict[str, str]]) -> dict[str, str]:
    return {path: inside for some in found for path, inside in some.items()}
