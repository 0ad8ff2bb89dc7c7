"""The learning rate of each step."""

from mspn.experiment.config import Recipe


def learning_rate(recipe: Recipe, step: int) -> float:
    """The learning rate of a step (0, 1, ...): linear warm-up, then linear to 0 at ``recipe.iterations``.

    Without warm-up this is the paper's schedule, with it the released code's. With a ``cooldown`` the rate
    stays between warm-up and cool-down, so that trainings of different lengths share all but their ends.
    Raises ValueError for a step that the schedule has not, where the line would go on below 0.
    """
    if not 0 <= step <= recipe.iterations:
        raise ValueError(f"step {step} of a schedule of {recipe.iterations} steps")
    warmup, falling = recipe.warmup_iterations, recipe.cooldown_start
    if step < warmup:
        factor = recipe.warmup_factor + (1 - recipe.warmup_factor) * step / warmup
    elif step < falling:
        factor = 1.0
    else:
        factor = 1 - (step - falling) / (recipe.iterations - falling)
    return recipe.lr * factor
