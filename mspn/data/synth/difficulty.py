"""How hard the pictures are: every number that separates ``calm``, ``plain``, ``bench`` and ``hard``."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Difficulty:
    """Ranges are (low, high), uniform unless said otherwise; chances are probabilities from 0 to 1.

    The defaults are ``plain``; the others say what they have otherwise.
    """

    # Persons and their poses.
    persons: tuple[int, int] = (1, 4)  # in a picture, both included
    height: tuple[float, float] = (0.42, 1.1)  # standing height over the picture's, log-uniform
    near: float = 0.15  # chance of a person so near that the lower border cuts it
    near_height: tuple[float, float] = (1.2, 1.8)
    spread: float = 1.0  # scale of the joint angles' deviations
    upright: float = 0.0  # chance of just standing or walking, towards the viewer or away
    rare: float = 0.02  # chance of an activity such as lying, crawling or a handstand
    group: float = 0.25  # chance that a person stands close to one before it
    closeness: float = 0.26  # distance within a group, standing heights
    outside: float = 0.02  # how far a person's middle may leave the picture, share of its width
    roll_deg: float = 2.0  # deviation of the camera's roll
    elevation_deg: tuple[float, float] = (0.0, 14.0)
    # What hides or resembles them.
    things_before: tuple[int, int] = (0, 1)  # between persons and viewer
    things_behind: tuple[int, int] = (0, 2)
    distractors: float = 0.0  # mean number of statues, mannequins, posters and coat-stands in a picture
    same_clothes: float = 0.0  # chance that a person wears what another one wears
    camouflage: float = 0.0  # chance that a garment takes its colour from the backdrop
    # Light, lens and file.
    gain: tuple[float, float] = (0.88, 1.08)
    gamma: tuple[float, float] = (0.92, 1.1)
    cast: float = 0.02  # deviation of the colour channels' gains
    backlight: float = 0.0  # chance that persons are darker than what is behind them
    noise: tuple[float, float] = (0.0, 2.0)  # deviation, grey levels
    defocus_px: tuple[float, float] = (0.0, 0.0)  # deviation of the whole picture's blur
    motion_blur: float = 0.0  # chance of a blur along a line
    motion_px: tuple[float, float] = (3.0, 9.0)
    jpeg_quality: tuple[int, int] = (86, 95)


DIFFICULTIES = {
    # For networks that see two thousand samples: most persons are upright, some still sit, run or turn.
    "calm": Difficulty(persons=(1, 3), near=0.06, spread=0.7, upright=0.8),
    "plain": Difficulty(),
    # All that makes `hard` hard, in doses that small networks can learn in minutes: one-stage MSPN, a quarter
    # as wide, is to score between 40 and 70 AP after 20,000 samples, so that others have room around it.
    "bench": Difficulty(
        near=0.06,
        near_height=(1.2, 1.7),
        spread=0.7,
        upright=0.85,
        closeness=0.25,
        outside=0.03,
        roll_deg=3.0,
        distractors=0.3,
        same_clothes=0.1,
        camouflage=0.04,
        gain=(0.78, 1.12),
        gamma=(0.88, 1.15),
        cast=0.03,
        backlight=0.04,
        noise=(0.0, 3.0),
        defocus_px=(0.0, 0.4),
        motion_blur=0.08,
        motion_px=(2.0, 4.0),
        jpeg_quality=(50, 92),
    ),
    "hard": Difficulty(
        persons=(1, 9),
        height=(0.32, 1.15),
        near=0.3,
        near_height=(1.2, 2.4),
        spread=1.6,
        rare=0.12,
        group=0.6,
        closeness=0.17,
        outside=0.08,
        roll_deg=7.0,
        elevation_deg=(-6.0, 38.0),
        things_before=(0, 3),
        things_behind=(0, 3),
        distractors=0.9,
        same_clothes=0.2,
        camouflage=0.2,
        gain=(0.42, 1.3),
        gamma=(0.7, 1.5),
        cast=0.09,
        backlight=0.2,
        noise=(0.0, 12.0),
        defocus_px=(0.0, 1.1),
        motion_blur=0.3,
        jpeg_quality=(24, 88),
    ),
}
