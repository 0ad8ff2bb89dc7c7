"""An articulated body: proportions, joint angles within limits, and the 3D points that they put in place.

A person's own axes: x to its left, y up, z forward; unit: its standing height. The camera's axes: x right,
y up, z towards the viewer. A person with ``yaw`` 0 faces the viewer, so its left is on the picture's right.
"""

from dataclasses import dataclass, field
from math import cos, radians, sin

import numpy as np

SIDES = {"left": 1, "right": -1}

# Joint limits in degrees (low, high), rounded from textbook ranges of motion; "in" is towards the midline.
LIMITS = {
    "tilt": (-90, 180), "roll": (-90, 90),
    "spine_bend": (-25, 80), "spine_side": (-30, 30), "spine_twist": (-40, 40),
    "neck_bend": (-40, 45), "neck_side": (-30, 30), "neck_turn": (-70, 70),
    "arm_forward": (-50, 175), "arm_out": (-15, 170), "arm_in": (-90, 80), "elbow": (0, 145),
    "leg_forward": (-25, 120), "leg_out": (-10, 50), "leg_in": (-45, 35), "knee": (0, 145), "foot": (-40, 25),
}  # fmt: skip
_LIMBS = ("arm_forward", "arm_out", "arm_in", "elbow", "leg_forward", "leg_out", "leg_in", "knee", "foot")
_TRUNK = ("tilt", "roll", "spine_bend", "spine_side", "spine_twist", "neck_bend", "neck_side", "neck_turn")
ANGLES = (*_TRUNK, *(f"{side}_{name}" for side in SIDES for name in _LIMBS))

# The mean angle of each activity, degrees; what is not named is near 0. A mirror image is as likely.
ACTIVITIES: dict[str, dict[str, float]] = {
    "stand": {"both_arm_out": 9, "both_elbow": 12, "both_leg_out": 4},
    "stand at ease": {
        "both_arm_out": 8, "left_elbow": 25, "left_leg_out": 14, "left_leg_in": -15, "left_knee": 12,
        "spine_side": 5, "roll": -3, "right_elbow": 15,
    },
    "walk": {
        "left_leg_forward": 26, "left_knee": 8, "right_leg_forward": -16, "right_knee": 24,
        "left_arm_forward": -22, "right_arm_forward": 24, "both_elbow": 22, "both_arm_out": 6,
        "spine_bend": 4,
    },
    "run": {
        "left_leg_forward": 58, "left_knee": 78, "right_leg_forward": -18, "right_knee": 42,
        "left_arm_forward": -40, "right_arm_forward": 42, "both_elbow": 92, "spine_bend": 12, "tilt": 8,
        "both_arm_out": 8,
    },
    "hands on hips": {"both_arm_out": 46, "both_arm_in": 62, "both_elbow": 92, "both_leg_out": 8},
    "one hand on hip": {
        "left_arm_out": 46, "left_arm_in": 62, "left_elbow": 92, "right_arm_out": 8, "right_elbow": 14,
        "both_leg_out": 6,
    },
    "arms crossed": {"both_arm_forward": 30, "both_arm_in": 66, "both_elbow": 102, "both_leg_out": 5},
    "wave": {"left_arm_out": 82, "left_arm_in": -88, "left_elbow": 75, "right_arm_out": 8, "right_elbow": 14},
    "cheer": {
        "both_arm_out": 138, "both_elbow": 28, "both_arm_in": -30, "neck_bend": -12, "both_leg_out": 10,
    },
    "reach": {
        "left_arm_forward": 150, "left_elbow": 14, "right_arm_out": 10, "neck_bend": -20, "right_elbow": 18,
    },
    "point": {
        "left_arm_forward": 82, "left_elbow": 8, "left_arm_out": 18, "right_elbow": 20, "right_arm_out": 8,
    },
    "phone": {
        "left_arm_forward": 34, "left_arm_in": 40, "left_elbow": 112, "neck_bend": 18, "right_arm_out": 7,
        "right_elbow": 16,
    },
    "carry": {"both_arm_forward": 32, "both_elbow": 76, "both_arm_in": 14, "both_leg_out": 5},
    "throw": {
        "left_arm_out": 92, "left_arm_in": -72, "left_elbow": 86, "right_arm_forward": 62, "right_elbow": 25,
        "left_leg_forward": -14, "right_leg_forward": 26, "spine_twist": 18, "right_knee": 14, "both_leg_out":
        8,
    },
    "kick": {
        "left_leg_forward": 68, "left_knee": 18, "right_knee": 10, "right_arm_forward": 35, "both_arm_out":
        34, "left_arm_forward": -28, "both_elbow": 32, "spine_bend": -5,
    },
    "lunge": {
        "left_leg_forward": 72, "left_knee": 78, "right_leg_forward": -22, "right_knee": 22, "both_arm_out":
        24, "both_elbow": 34,
    },
    "stretch": {"both_arm_out": 86, "both_elbow": 8, "both_leg_out": 24},
    "bend": {
        "spine_bend": 62, "tilt": 28, "both_leg_forward": 24, "both_arm_forward": 58, "both_elbow": 18,
        "both_knee": 16,
    },
    "squat": {
        "both_leg_forward": 104, "both_knee": 122, "both_leg_out": 18, "spine_bend": 24, "tilt": 12,
        "both_arm_forward": 52, "both_elbow": 42, "both_foot": -20,
    },
    "kneel": {
        "left_leg_forward": 88, "left_knee": 92, "right_knee": 92, "right_foot": 25, "both_arm_forward": 26,
        "both_elbow": 46,
    },
    "sit": {
        "both_leg_forward": 84, "both_knee": 84, "both_leg_out": 9, "both_arm_forward": 26, "both_elbow": 46,
        "both_arm_in": 12, "spine_bend": 5,
    },
    "sit, legs crossed": {
        "left_leg_forward": 96, "left_leg_in": -8, "left_leg_out": -8, "left_knee": 70, "right_leg_forward":
        82, "right_knee": 84, "both_arm_forward": 28, "both_elbow": 56, "both_arm_in": 28,
    },
    "jump": {
        "both_leg_forward": 22, "both_knee": 52, "both_arm_out": 118, "both_elbow": 20, "both_leg_out": 16,
        "both_foot": 20,
    },
    "dance": {
        "left_arm_out": 96, "left_elbow": 60, "left_arm_in": -60, "right_arm_out": 62, "right_elbow": 75,
        "right_arm_in": 40, "left_leg_out": 24, "right_knee": 34, "right_leg_forward": 26, "spine_side": 10,
    },
    "lie": {"tilt": -88, "both_arm_out": 18, "both_elbow": 26, "left_leg_forward": 16, "left_knee": 34},
    "crawl": {
        "tilt": 82, "both_leg_forward": 84, "both_knee": 86, "both_arm_forward": 88, "neck_bend": -34,
        "both_elbow": 8,
    },
    "handstand": {
        "tilt": 176, "both_arm_forward": 170, "both_elbow": 6, "both_leg_out": 12, "neck_bend": -20,
    },
}  # fmt: skip
SEATED = ("sit", "sit, legs crossed")
AIRBORNE = ("jump",)


@dataclass(frozen=True)
class Body:
    """Proportions in units of the standing height; joint distances, not outer sizes, unless said so."""

    shoulder: float = 0.108  # half the distance between the shoulder joints
    hip: float = 0.052
    upper_arm: float = 0.165
    forearm: float = 0.143
    thigh: float = 0.235
    shin: float = 0.232
    trunk: float = 0.295  # hip joints to the base of the neck
    head: float = 1.0  # scale of the head
    girth: float = 1.0  # scale of limb and trunk thickness
    chest: float = 1.0
    waist: float = 1.0


@dataclass(frozen=True)
class Figure:
    """A posed body in the camera's axes, the hips' middle at the origin.

    ``points`` holds (3,) positions by name; ``frames`` (3, 3) orientations of pelvis, chest and head whose
    columns are the part's own x, y and z axes.
    """

    body: Body
    points: dict[str, np.ndarray]
    frames: dict[str, np.ndarray] = field(default_factory=dict)


def _rx(degrees: float) -> np.ndarray:
    c, s = cos(radians(degrees)), sin(radians(degrees))
    return np.array(((1.0, 0.0, 0.0), (0.0, c, -s), (0.0, s, c)))


def _ry(degrees: float) -> np.ndarray:
    c, s = cos(radians(degrees)), sin(radians(degrees))
    return np.array(((c, 0.0, s), (0.0, 1.0, 0.0), (-s, 0.0, c)))


def _rz(degrees: float) -> np.ndarray:
    c, s = cos(radians(degrees)), sin(radians(degrees))
    return np.array(((c, -s, 0.0), (s, c, 0.0), (0.0, 0.0, 1.0)))


def sample_body(rng: np.random.Generator) -> Body:
    """Proportions of an adult, or now and then of a child."""
    child = rng.random() < 0.12
    broad = rng.normal()
    heavy = float(np.clip(rng.normal(0.0, 0.11), -0.2, 0.32))
    vary = rng.normal(1.0, 0.025, 6)
    return Body(
        shoulder=0.106 + 0.006 * broad,
        hip=0.053 * vary[0],
        upper_arm=0.165 * vary[1],
        forearm=0.143 * vary[2],
        thigh=(0.222 if child else 0.236) * vary[3],
        shin=(0.216 if child else 0.232) * vary[4],
        trunk=0.292 * vary[5],
        head=1.36 if child else 1.08 + 0.03 * float(rng.normal()),
        girth=1.0 + heavy + (0.06 if child else 0.0),
        chest=1.0 + 0.04 * broad + 0.4 * heavy,
        waist=1.0 + 1.1 * heavy - 0.04 * broad,
    )


def sample_angles(rng: np.random.Generator, activity: str, spread: float) -> dict[str, float]:
    """Joint angles of an activity, degrees: normal about its means, wider with ``spread``, within limits."""
    means = dict.fromkeys(ANGLES, 0.0)
    for name, value in ACTIVITIES[activity].items():
        if name.startswith("both_"):
            for side in SIDES:
                means[side + name[4:]] += value
        else:
            means[name] += value
    if rng.random() < 0.5:
        means = _mirrored(means)
    noise = rng.normal(0.0, spread, len(ANGLES))
    angles = {}
    for (name, mean), error in zip(means.items(), noise.tolist(), strict=True):
        kind = name.removeprefix("left_").removeprefix("right_")
        width = 3.5 if kind in ("tilt", "roll", "spine_side", "leg_out", "foot") else 9.0
        width = 17.0 if kind in ("neck_turn", "arm_in", "elbow") else width
        low, high = LIMITS[kind]
        angles[name] = min(max(mean + width * error, low), high)
    return angles


def _mirrored(angles: dict[str, float]) -> dict[str, float]:
    other = {"left": "right", "right": "left"}
    flipped = {}
    for name in angles:
        side, _, rest = name.partition("_")
        source = f"{other[side]}_{rest}" if side in other else name
        sign = -1.0 if name in ("roll", "spine_side", "spine_twist", "neck_side", "neck_turn") else 1.0
        flipped[name] = sign * angles[source]
    return flipped


def camera(yaw: float, elevation: float, roll: float = 0.0) -> np.ndarray:
    """(3, 3) from a person's axes to the camera's; degrees. ``elevation`` looks down from above."""
    return _rz(roll) @ _rx(elevation) @ _ry(yaw)


def pose_figure(body: Body, angles: dict[str, float], view: np.ndarray) -> Figure:
    """Forward kinematics: every point of the body in the camera's axes."""
    a = angles
    pelvis = view @ _rx(a["tilt"]) @ _rz(a["roll"])
    lower = pelvis @ _rx(0.45 * a["spine_bend"]) @ _rz(0.4 * a["spine_side"]) @ _ry(0.4 * a["spine_twist"])
    chest = lower @ _rx(0.55 * a["spine_bend"]) @ _rz(0.6 * a["spine_side"]) @ _ry(0.6 * a["spine_twist"])
    neck = chest @ _rx(8 + 0.4 * a["neck_bend"]) @ _rz(0.5 * a["neck_side"])
    head = neck @ _ry(a["neck_turn"]) @ _rx(0.6 * a["neck_bend"] - 8) @ _rz(0.5 * a["neck_side"])
    points = {"pelvis": np.zeros(3)}
    points["waist"] = lower @ (0.0, 0.40 * body.trunk, 0.0)
    points["thorax"] = points["waist"] + chest @ (0.0, 0.60 * body.trunk, 0.0)
    points["upper_neck"] = points["thorax"] + neck @ (0.0, 0.052, 0.0)
    size = body.head
    points["head"] = points["upper_neck"] + head @ (0.0, 0.042 * size, 0.012 * size)
    points["head_top"] = points["head"] + head @ (0.0, 0.072 * size, -0.004 * size)
    points["nose"] = points["head"] + head @ (0.0, -0.014 * size, 0.060 * size)
    for side, sign in SIDES.items():
        points[f"{side}_eye"] = points["head"] + head @ (0.0175 * size * sign, 0.004 * size, 0.047 * size)
        points[f"{side}_ear"] = points["head"] + head @ (0.043 * size * sign, -0.006 * size, -0.004 * size)
        _pose_limbs(points, body, a, chest, pelvis, side, sign)
    return Figure(body, points, {"pelvis": pelvis, "lower": lower, "chest": chest, "head": head})


def _pose_limbs(
    points: dict[str, np.ndarray], body: Body, a: dict[str, float], chest: np.ndarray, pelvis: np.ndarray,
    side: str, sign: int,
) -> None:  # fmt: skip
    """Add one side's arm and leg to ``points``."""
    raised = (
        0.02 * max(0.0, max(a[f"{side}_arm_out"], a[f"{side}_arm_forward"]) - 60) / 110
    )  # the shoulder blade
    points[f"{side}_shoulder"] = points["thorax"] + chest @ (sign * body.shoulder, -0.028 + raised, -0.004)
    upper = chest @ _rz(sign * a[f"{side}_arm_out"]) @ _rx(-a[f"{side}_arm_forward"])
    upper = upper @ _ry(-sign * a[f"{side}_arm_in"])
    lower = upper @ _rx(-a[f"{side}_elbow"])
    points[f"{side}_elbow"] = points[f"{side}_shoulder"] - upper[:, 1] * body.upper_arm
    points[f"{side}_wrist"] = points[f"{side}_elbow"] - lower[:, 1] * body.forearm
    points[f"{side}_hand"] = points[f"{side}_wrist"] - lower[:, 1] * 0.052
    points[f"{side}_thumb"] = points[f"{side}_wrist"] - lower @ (sign * 0.022, 0.030, -0.012)
    points[f"{side}_hip"] = pelvis @ (sign * body.hip, -0.008, 0.0)
    thigh = pelvis @ _rz(sign * a[f"{side}_leg_out"]) @ _rx(-a[f"{side}_leg_forward"])
    thigh = thigh @ _ry(-sign * a[f"{side}_leg_in"])
    shin = thigh @ _rx(a[f"{side}_knee"])
    foot = shin @ _rx(a[f"{side}_foot"]) @ _ry(sign * 8)
    points[f"{side}_knee"] = points[f"{side}_hip"] - thigh[:, 1] * body.thigh
    points[f"{side}_ankle"] = points[f"{side}_knee"] - shin[:, 1] * body.shin
    points[f"{side}_heel"] = points[f"{side}_ankle"] + foot @ (0.0, -0.030, -0.022)
    points[f"{side}_toe"] = points[f"{side}_ankle"] + foot @ (0.0, -0.033, 0.092)
