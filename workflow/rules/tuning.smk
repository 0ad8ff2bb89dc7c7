# A scale that searches: every candidate's evaluation -> one table.


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
        code=fingerprint("mspn.experiment.tuning"),
    shell:
        "python -m mspn tune --scale {params.scale:q} --out {output} 2>&1 | tee {log}"
