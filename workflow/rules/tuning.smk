# A scale that searches: every candidate's evaluation -> one table.


def search_inputs(wildcards):
    """Every evaluation of the search, and the training's record behind it."""
    for run, seed, detector in EXPERIMENT.evaluations():
        yield f"{EXPERIMENT.evaluation_folder(run, seed, detector)}/metrics.json"
        yield f"{EXPERIMENT.training_folder(run, seed)}/log.jsonl"
        yield f"{EXPERIMENT.training_folder(run, seed)}/environment.json"


rule tune:
    input:
        search_inputs,
    output:
        f"{RESULTS}/search.csv",
    log:
        f"{LOGS}/tune.log",
    benchmark:
        f"{BENCHMARKS}/tune.tsv"
    conda:
        ENVIRONMENT
    params:
        scale=SCALE,
        code=fingerprint("mspn.tuning"),
    shell:
        "python -m mspn tune --scale {params.scale:q} --out {output} 2>&1 | tee {log}"
