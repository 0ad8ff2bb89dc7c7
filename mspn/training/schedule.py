"""The learning rate of each step."""

from mspn.experiment.config import Recipe


def learning_rate(recipe: Recipe, step: int) -> float:
    """The learning rate of a step (0, 1, ...): linear warm-up, then linear to 0 at ``recipe.iterations``.

    Without warm-up this is the paper's schedule, with it the released code's.
    """
    warmup = recipe.warmup_iterations
    if step < warmup:
        factor = recipe.warmup_factor + (1 - recipe.warmup_factor) * step / warmup
    else:
        factor = 1 - (step - warmup) / (recipe.iterations - warmup)
    return recipe.lr * factor
