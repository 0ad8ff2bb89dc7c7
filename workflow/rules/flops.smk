# The cost of every network at the paper's full size, whatever the scale; and its latency at the scale's size.


rule flops:
    input:
        "reports/paper/figures.tsv",
    output:
        table=f"{RESULTS}/flops/flops.csv",
        json=f"{RESULTS}/flops/flops.json",
        ledger=f"{RESULTS}/flops/ledger.csv",
    log:
        f"{LOGS}/flops.log",
    benchmark:
        f"{BENCHMARKS}/flops.tsv"
    conda:
        ENVIRONMENT
    resources:
        scale=SCALE,
    params:
        folder=lambda w, output: str(Path(output.table).parent),
        # A row of the grid each, as all are counted.
        networks={r.run: [r.network, r.input, r.supervision, r.data, r.members] for r in load_grid().values()},
        revisions={**EXPERIMENT.network_revisions(), "flops": REVISIONS["flops"]},
    shell:
        "python -m mspn flops --scale {resources.scale:q} --out {params.folder:q} 2>&1 | tee {log}"


rule latency:
    output:
        f"{RESULTS}/latency.csv",
    log:
        f"{LOGS}/latency.log",
    benchmark:
        f"{BENCHMARKS}/latency.tsv"
    conda:
        ENVIRONMENT
    resources:
        scale=SCALE,
        gpu=0,
        gres="",
        gpu_share=1,
    params:
        networks=EXPERIMENT.networks(),
        revisions=EXPERIMENT.network_revisions(),
        size=[EXPERIMENT.scale.width, EXPERIMENT.scale.inputs],
    shell:
        LAUNCH + " bench latency --scale {resources.scale:q} --out {output} 2>&1 | tee {log}"
