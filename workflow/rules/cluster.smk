# A cluster's controller that is away for a while. Where SLURM does not answer, its executor neither reports nor keeps
# the jobs that it asked for, so that nobody waits for them any more and the workflow never ends. They are kept here.


def keep_jobs_while_slurm_is_away(plugin):
    """Have the executor ask again, at its next look, for the jobs of a look that got no answer."""
    asked, look, answered = plugin.query_job_status, plugin.Executor.check_active_jobs, [True]

    async def query_job_status(command, logger):
        found = await asked(command, logger)
        answered[0] = found[0] is not None
        if not answered[0]:
            logger.warning(
                f"SLURM does not answer ({command.split()[0]}): the jobs are asked for again at the next look."
            )
        return found

    async def check_active_jobs(self, active_jobs):
        answered[0] = True
        async for job in look(self, active_jobs):
            yield job
        if not answered[0]:
            for job in active_jobs:
                yield job

    plugin.query_job_status, plugin.Executor.check_active_jobs = query_job_status, check_active_jobs
    plugin.keeps_jobs = True


# Snakemake has loaded every executor that is installed.
if (slurm := sys.modules.get("snakemake_executor_plugin_slurm")) and not hasattr(slurm, "keeps_jobs"):
    keep_jobs_while_slurm_is_away(slurm)
