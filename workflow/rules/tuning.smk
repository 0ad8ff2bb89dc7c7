# A scale that searches: rounds of candidates, of which the better ones go on -> one table.


checkpoint halve:
    input:
        round_inputs,
    output:
        f"{RESULTS}/search/{{run}}-round-{{round}}.json",
    log:
        f"{LOGS}/halve/{{run}}-round-{{round}}.log",
    benchmark:
        f"{BENCHMARKS}/halve/{{run}}-round-{{round}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        scale=SCALE,
        root=JOB_ROOT,
    shell:
        "MSPN_ROOT={resources.root:q} "
        "python -m mspn tune --scale {resources.scale:q} --run {wildcards.run}"
        " --round {wildcards.round} --out {output:q} 2>&1 | tee {log:q}"


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
    resources:
        scale=SCALE,
        root=JOB_ROOT,
    shell:
        "MSPN_ROOT={resources.root:q} "
        "python -m mspn tune --scale {resources.scale:q} --out {output:q} 2>&1 | tee {log:q}"
