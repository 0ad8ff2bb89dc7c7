"""What of a scale's results is not as the rules planned it, in sentences for the report."""

import datetime

from mspn.report.claim_parts import DET
from mspn.report.draws import Draws


def deviations(draws: Draws) -> list[str]:
    """A sentence for each: trainings that began before the rules, runs that lack, other budgets and seeds."""
    results, rules = draws.results, draws.rules
    experiment, plan = results.experiment, rules.plan(results.experiment)
    found = []
    begun = [_begun(training.environment) for training in results.trainings.values()]
    early = sum(date is not None and date < rules.date for date in begun)
    if early:
        found.append(
            f"{early} of {len(begun)} trainings began before {rules.date}, when the rules were fixed: for "
            "those they were not fixed beforehand."
        )
    if experiment.scale.name not in rules.plans:
        return [*found, "The rules have no plan of this scale: its runs, its budget and all of its seeds."]
    lacking = [run for run in plan.runs if not draws.has(run, DET)]
    if lacking:
        found.append(f"Planned and not evaluated: {', '.join(lacking)}.")
    other = {
        run: recipe.iterations * recipe.batch
        for run in plan.runs
        if run in experiment.grid and not experiment.grid[run].members
        for recipe in [experiment.recipe(experiment.grid[run])]
        if recipe.iterations * recipe.batch != plan.samples[-1]
    }
    if other:
        words = ", ".join(f"{run} {samples:,}" for run, samples in other.items())
        found.append(f"Trained on other than the {plan.samples[-1]:,} samples that were planned: {words}.")
    seeds = {run: len(draws.by_seed(run, DET)) for run in plan.runs if run not in lacking}
    between = [f"{run} ({number})" for run, number in seeds.items() if plan.look(number) != number]
    if between:
        looks = ", ".join(map(str, plan.looks))
        found.append(f"Looks were planned at {looks} seeds; what is beyond one waits: {', '.join(between)}.")
    return found


def _begun(environment: dict[str, object]) -> datetime.date | None:
    """The day on which a training's first attempt started; None where it was not recorded."""
    attempts = environment.get("attempts")
    started = attempts[0].get("started") if isinstance(attempts, list) and attempts else None
    return datetime.datetime.fromisoformat(str(started)).date() if started else None
