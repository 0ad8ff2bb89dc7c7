# Trained networks -> predictions and metrics, on each detector's boxes.


rule evaluate:
    input:
        weights=evaluation_weights,
        data=lambda w: dataset_ready(main_dataset(EXPERIMENT.run(w.run)), "val"),
        boxes=lambda w: f"{RESULTS}/boxes/{main_dataset(EXPERIMENT.run(w.run))}/{w.detector}.json",
    output:
        metrics=f"{RESULTS}/runs/{{run}}/seed-{{seed}}/{{detector}}/metrics.json",
        predictions=f"{RESULTS}/runs/{{run}}/seed-{{seed}}/{{detector}}/predictions.json",
        matches=f"{RESULTS}/runs/{{run}}/seed-{{seed}}/{{detector}}/matches.npz",
    log:
        f"{LOGS}/evaluate/{{run}}-seed-{{seed}}-{{detector}}.log",
    benchmark:
        f"{BENCHMARKS}/evaluate/{{run}}-seed-{{seed}}-{{detector}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        scale=SCALE,
        root=JOB_ROOT,
        gpu=0,
        gres="",
        gpu_share=1,
    params:
        identity=lambda w: EXPERIMENT.evaluation_identity(EXPERIMENT.run(w.run), int(w.seed), w.detector),
    shell:
        LAUNCH + " evaluate --scale {resources.scale:q} --run {wildcards.run} --seed {wildcards.seed}"
        " --detector {wildcards.detector} --threads {threads} --workers $(( {threads} - 1 )) 2>&1 | tee {log:q}"
