"""The C library's allocator on the CPU: freed memory is kept for the next step."""

import ctypes

# <malloc.h> of glibc.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> None:
    """Let glibc keep what is freed, up to the most that was in use, rather than return it to the system.

    A step frees and asks for the same tens of megabytes; returned, each page is cleared by the system and
    mapped anew, thousands a step. Nothing happens where the C library is not glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 2**30)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
