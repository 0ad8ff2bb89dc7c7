# What networks cost: at the paper's full size, whatever the scale; as the scale trains them; and their latency. And what
# perfect heat maps would score.


rule flops:
    input:
        along("reports/paper/figures.tsv"),
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
        root=JOB_ROOT,
    params:
        folder=lambda w, output: str(Path(output.table).parent),
        # A row of the grid each, as all are counted.
        networks={r.run: [r.network, r.input, r.supervision, r.data, r.members] for r in load_grid().values()},
        revisions={**EXPERIMENT.network_revisions(), "flops": REVISIONS["flops"]},
    shell:
        "MSPN_ROOT={resources.root:q} "
        "python -m mspn flops --scale {resources.scale:q} --full-size --out {params.folder:q} 2>&1 | tee {log:q}"


rule trained_flops:
    output:
        f"{RESULTS}/flops/trained.csv",
    log:
        f"{LOGS}/trained_flops.log",
    benchmark:
        f"{BENCHMARKS}/trained_flops.tsv"
    conda:
        ENVIRONMENT
    resources:
        scale=SCALE,
        root=JOB_ROOT,
    params:
        folder=lambda w, output: str(Path(output[0]).parent),
        sizes=network_sizes(),
        revisions={**EXPERIMENT.network_revisions(), "flops": REVISIONS["flops"]},
    shell:
        "MSPN_ROOT={resources.root:q} "
        "python -m mspn flops --scale {resources.scale:q} --out {params.folder:q} 2>&1 | tee {log:q}"


rule ceiling:
    input:
        [path for name in main_datasets() for path in dataset_ready(name, "val")],
    output:
        f"{RESULTS}/ceiling.json",
    log:
        f"{LOGS}/ceiling.log",
    benchmark:
        f"{BENCHMARKS}/ceiling.tsv"
    conda:
        ENVIRONMENT
    resources:
        scale=SCALE,
        root=JOB_ROOT,
    params:
        sizes=sorted({EXPERIMENT.input_size(run) for run in EXPERIMENT.trained}),
        data=[EXPERIMENT.data_identity(name, "val") for name in main_datasets()],
        revisions=[REVISIONS["training"], REVISIONS["evaluation"]],
    shell:
        "MSPN_ROOT={resources.root:q} "
        "python -m mspn ceiling --scale {resources.scale:q} --out {output:q} 2>&1 | tee {log:q}"


# With all cores nothing runs beside it. What was measured is kept, undeclared, beside the table: a new network is
# measured alone.
rule latency:
    output:
        f"{RESULTS}/latency.csv",
    log:
        f"{LOGS}/latency.log",
    benchmark:
        f"{BENCHMARKS}/latency.tsv"
    conda:
        ENVIRONMENT
    threads: machine_cores()
    resources:
        scale=SCALE,
        root=JOB_ROOT,
        gpu=0,
        gres="",
        gpu_share=1,
    params:
        sizes=network_sizes(),
        revisions=EXPERIMENT.network_revisions(),
    shell:
        LAUNCH + " bench latency --scale {resources.scale:q} --out {output:q} 2>&1 | tee {log:q}"
