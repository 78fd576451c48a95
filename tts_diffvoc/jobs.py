"""Many pieces of work: one after the other, in processes here, or on a cluster, by joblib."""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, TypeVar

from tts_diffvoc.arguments import whole
from tts_diffvoc.errors import DiffvocError, Failure

if TYPE_CHECKING:
    from tqdm import tqdm

T = TypeVar("T")
R = TypeVar("R")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Number of processes, and where they are."""
    parser.add_argument("--jobs", type=whole(1, 1024), default=1, help="processes; default: 1")
    parser.add_argument(
        "--backend", choices=("loky", "dask", "ray"), default="loky",
        help="of joblib: processes here (loky, the default), or a cluster whose machines see the same files",
    )  # fmt: skip
    parser.add_argument("--scheduler", help="address of the cluster: tcp://HOST:8786 of dask, ray://HOST:10001 of ray")


def bar(items: Iterable[T] | None, what: str, total: int | None = None) -> tqdm[T]:
    """``items`` with a bar on stderr; where that is no terminal, a line every 15 seconds."""
    from tqdm import tqdm

    return tqdm(items, what, total, mininterval=0.2 if sys.stderr.isatty() else 15.0, dynamic_ncols=True)


def each(work: Callable[[T], R], items: Iterable[T], options: argparse.Namespace) -> Iterator[R]:
    """The results of ``work`` on every item, in any order, as they are done; ``options`` are :func:`add_arguments`'s.

    Raises: DiffvocError for a backend that is not installed, Failure where it cannot be reached or gives up.
    """
    from joblib import Parallel, delayed

    # Ray's pool has no results before the last.
    returned = "list" if options.backend == "ray" else "generator_unordered"
    try:
        with _backend(options):
            yield from Parallel(options.jobs, return_as=returned, batch_size=1)(delayed(_do)(work, i) for i in items)
    except DiffvocError:
        raise
    except ModuleNotFoundError as error:
        raise DiffvocError(f"--backend {options.backend} needs {error.name}; pip install it.") from None
    except Exception as error:  # of many kinds; those of the work are the work's
        said = f"{type(error).__name__}: {error}".splitlines()[0].partition(". ")[0].rstrip(".")
        raise Failure(f"the {options.backend} workers gave up ({said[:200]}); try fewer --jobs.") from None


@contextmanager
def _backend(options: argparse.Namespace) -> Iterator[None]:
    """While inside, joblib uses the backend."""
    from joblib import parallel_config

    with ExitStack() as stack:
        if options.backend == "dask":
            from distributed import Client

            local = {} if options.scheduler else {"n_workers": options.jobs, "threads_per_worker": 1}
            stack.enter_context(Client(options.scheduler, **local))
        elif options.backend == "ray":
            import ray
            from ray.util.joblib import register_ray

            ray.init(options.scheduler)
            register_ray()
        stack.enter_context(parallel_config(options.backend))
        yield


def _do(work: Callable[[T], R], item: T) -> R:
    end_with_parent()
    return work(item)


@functools.cache
def end_with_parent() -> None:
    """Let this process, if it is a worker, end when the one that started it is gone: killed, it cannot say so."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        while os.getppid() == parent.pid:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
