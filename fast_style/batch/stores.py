"""Where pictures are read and written: disks, and buckets that Arrow opens by their URLs."""

import glob
import os
import posixpath
import secrets
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pyarrow
from pyarrow import fs

from fast_style.errors import UserError, naming_os_errors, reason
from fast_style.files import make_folder, write_atomically
from fast_style.pictures.images import is_hidden

# What is put there is there whole or not at all, by the store's own doing. (Azure's stream leaves
# an empty file until it is closed, and an empty file does not count as there.)
PUT_WHOLE = ("s3", "gcs", "abfs")
ONE_REQUEST = "allow_delayed_open=true"  # else Arrow puts a small file into S3 in three requests
# Arrow wants all others, spaces and brackets for instance, as a URL has them.
URL_CHARACTERS = "%/:?&=@+~*$!'(),;"


@dataclass(frozen=True)
class Store:
    """A file system on which a path names the same file from every machine of the run."""

    filesystem: fs.FileSystem
    prefix: str = ""  # before a path, what a person would write: s3://

    @property
    def is_disk(self) -> bool:
        """Whether its paths are those of this machine."""
        return isinstance(self.filesystem, fs.LocalFileSystem)

    def label(self, path: str) -> str:
        """Returns the name of a file for messages."""
        return self.prefix + path

    def find(self, path: str, endings: tuple[str, ...]) -> dict[str, str]:
        """Returns the files that a file, a folder or a glob stands for, with their paths inside it.

        For a file or a glob this path is the name. From folders and globs, only files with one of
        the endings are returned, without hidden ones (is_hidden). Raises UserError if there are
        none.
        """
        if glob.has_magic(path):
            from fsspec.implementations.arrow import ArrowFSWrapper

            globbed = ArrowFSWrapper(self.filesystem).glob(path)
            insides = {found: posixpath.basename(found) for found in globbed}
        elif self._is_file(path):
            return {path: posixpath.basename(path)}
        else:
            insides = {f"{path}/{name}": name for name in self.sizes_below(path)}
        insides = {
            found: insides[found]
            for found in sorted(insides)
            if found.lower().endswith(endings)
            and not any(map(is_hidden, set(found.split("/")) - set(path.split("/"))))
        }
        if not insides:
            raise UserError(f"{self.label(path)}: no files there of {', '.join(endings)}")
        return insides

    def sizes_below(self, folder: str) -> dict[str, int]:
        """Returns the bytes of each file in a folder and below, by its path inside the folder.

        Empty if there is no such folder. Raises UserError if it cannot be listed.
        """
        selector = fs.FileSelector(folder, allow_not_found=True, recursive=True)
        with self._errors(folder, "listed"):
            infos = self.filesystem.get_file_info(selector)
        return {posixpath.relpath(info.path, folder): info.size for info in infos if info.is_file}

    def has(self, path: str) -> bool:
        """Whether there is such a file and it is not empty. Raises UserError."""
        if self.is_disk:
            return os.path.isfile(path) and os.path.getsize(path) > 0
        with self._errors(path, "reached"):
            try:
                # Not get_file_info: of what is not there S3 would be asked twice.
                with self.filesystem.open_input_file(path) as file:
                    return file.size() > 0
            except FileNotFoundError:
                return False

    def read(self, path: str) -> bytes:
        """Returns the bytes of a file. Raises UserError if that fails."""
        with self._errors(path, "read"):
            try:
                with self.filesystem.open_input_file(path) as file:
                    return file.read(file.size())  # in one request
            except FileNotFoundError:
                raise UserError(f"{self.label(path)}: no such file") from None

    def write(self, path: str, data: bytes) -> None:
        """Writes a file, completely or not at all. Raises UserError if that fails."""
        if self.is_disk:
            make_folder(Path(path).parent)
            write_atomically(path, data)
            return
        with self._errors(path, "written"):
            if self.filesystem.type_name in PUT_WHOLE:
                self._put(path, data)
            else:
                folder, _ = posixpath.split(path)
                self.filesystem.create_dir(folder, recursive=True)
                temporary = f"{folder}/.{secrets.token_hex(8)}.tmp"
                self._put(temporary, data)
                self.filesystem.move(temporary, path)

    def remove(self, path: str) -> None:
        """Removes a file if it exists. Raises UserError if that fails."""
        if self.has(path):
            with self._errors(path, "removed"):
                self.filesystem.delete_file(path)

    def _put(self, path: str, data: bytes) -> None:
        with self.filesystem.open_output_stream(path) as file:
            file.write(data)

    def _is_file(self, path: str) -> bool:
        with self._errors(path, "reached"):
            return self.filesystem.get_file_info(path).is_file

    def _errors(self, path: str, done: str) -> AbstractContextManager[None]:
        return naming_os_errors(self.label(path), done)


def open_store(place: str) -> tuple[Store, str]:
    """Returns the store of a path or a URL, and the path in it.

    A URL has a scheme of Arrow (s3, gs, abfs, hdfs, file), or one for which a package of fsspec is
    installed. Raises UserError for any other.
    """
    if not place:
        raise UserError("an empty name is neither a folder nor a URL")
    scheme, separator, _ = place.partition("://")
    if not separator:
        return Store(fs.LocalFileSystem()), os.path.abspath(os.path.expanduser(place))
    try:
        filesystem, path = _opened(place)
    except (OSError, ValueError, ImportError) as error:
        raise UserError(f"{place}: cannot be reached: {reason(error)}") from error
    if isinstance(filesystem, fs.LocalFileSystem):
        return Store(filesystem), path
    return Store(filesystem, f"{scheme}://"), path.rstrip("/")


def _opened(url: str) -> tuple[fs.FileSystem, str]:
    if url.startswith("s3://") and ONE_REQUEST not in url:
        url += ("&" if "?" in url else "?") + ONE_REQUEST
    try:
        return fs.FileSystem.from_uri(quote(url, safe=URL_CHARACTERS))
    except pyarrow.ArrowInvalid:  # not one of Arrow's own
        import fsspec

        filesystem, path = fsspec.core.url_to_fs(url)
        return fs.PyFileSystem(fs.FSSpecHandler(filesystem)), path
