# From data set to report: `snakemake --cores all` runs the demo scale, `--config scale=NAME` another one.
from snakemake.utils import min_version

min_version("9.27")


report: "workflow/report/workflow.rst"


# For `--software-deployment-method apptainer`: the image that the Dockerfile says how to build.
container: "mspn.sif"


include: "workflow/rules/common.smk"
include: "workflow/rules/cluster.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/flops.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/tuning.smk"


# Seconds on small files: where the workflow is started, not as jobs of a cluster.
localrules:
    all,
    halve,
    tune,


RESULT = rules.tune.output[0] if EXPERIMENT.scale.search else rules.report.output.page


rule all:
    default_target: True
    input:
        RESULT,
        # By itself a page that `mspn report make` wrote of half the results would count as done.
        *measurements(),


onstart:
    claim_results(EXPERIMENT, SCALE)


onsuccess:
    place = RESULT.flags["storage_object"].query if STORAGE else RESULT
    print(f"The {'search' if EXPERIMENT.scale.search else 'report'}: {place}")


onerror:
    print(f"Failed. The logs lie in {JOB_LOGS}; run the same command again to go on.")
    shell(
        "python -m mspn doctor --failures {JOB_LOGS:q} .snakemake/log .snakemake/slurm_logs --since {STARTED}"
    )
