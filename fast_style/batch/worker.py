"""What an actor does: it loads the networks, and stylizes pictures from store to store."""

import os
from concurrent.futures import Future, ThreadPoolExecutor

from absl import logging

from fast_style.batch.picture_files import Entry
from fast_style.batch.work import Report, Work
from fast_style.errors import UserError
from fast_style.hardware import free_memory, usable_cores
from fast_style.pictures.images import TooManyPixels, decode_picture, encode_picture
from fast_style.runtimes.threads import compute_on
from fast_style.stylize.output_names import stylized_names
from fast_style.stylize.stylizer import Stylizer


class Worker:
    """The networks of an actor, a process that has reserved some cores or a GPU.

    While one picture is in the network, others are read, decoded, encoded and written.
    """

    def __init__(self, work: Work, cpus: int, gpus: float = 0):
        if not gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        elif gpus < 1:  # otherwise TensorFlow takes all memory of the GPU
            os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
        compute_on(cpus)
        self.share = min(1.0, cpus / usable_cores())  # of the machine
        self.work = work
        self.stylizers: dict[str, Stylizer] = {}
        self.threads = ThreadPoolExecutor(cpus + 1)  # one more, which waits for the store

    def load(self) -> None:
        """Loads the networks, once. Raises UserError if they cannot be loaded."""
        if not self.stylizers:
            # Not all that is free, because other actors of this machine find the same memory free.
            most = int(free_memory() * self.share) if self.share < 1 else None
            self.stylizers = {
                name: Stylizer(model, self.work.runtime, self.work.precision, max_memory=most)
                for name, model in self.work.models.items()
            }

    def submit(self, entry: Entry) -> Future[Report]:
        """Starts to stylize a picture. Call `load` first."""
        return self.threads.submit(self._stylized, entry)

    def _stylized(self, entry: Entry) -> Report:
        report = Report(1)
        try:
            if entry.refusal:
                raise UserError(entry.refusal)
            missing = self._missing(entry.inside)
            report.already_done = len(self.stylizers) - len(missing)
            if missing:
                most = self.work.most_pixels
                picture = decode_picture(entry.encoded(), entry.source, most_pixels=most)
            for name, targets in missing.items():
                stylized = self.stylizers[name].stylize(picture, self.work.how)
                target = targets[stylized.alpha is not None]
                ending = os.path.splitext(target)[1]
                self.work.output.write(target, encode_picture(stylized, ending))
                report.made += 1
            return report
        except TooManyPixels as error:
            reason = f"{error}; --allow-huge reads it"
        except UserError as error:
            reason = str(error)
        except Exception as error:  # one picture must not end a run of days
            logging.exception("%s", entry.source)
            reason = f"{type(error).__name__}: {error}"
        report.broken.append((entry.source, reason.removeprefix(f"{entry.source}: ")))
        return report

    def _missing(self, inside: str) -> dict[str, tuple[str, str]]:
        """Returns, by model, the targets of images that do not exist; see stylized_names."""
        missing = {}
        for name in self.stylizers:
            without_alpha, with_alpha = stylized_names(inside, name)
            targets = (f"{self.work.folder}/{without_alpha}", f"{self.work.folder}/{with_alpha}")
            if not any(map(self.work.output.has, dict.fromkeys(targets))):
                missing[name] = targets
        return missing
