# Crops -> trained networks. A training's folder is named after all that decides its result, so that a changed
# recipe or network is a new training, runs that share one train once, and nothing else starts one.


rule train:
    input:
        training_inputs,
    output:
        weights=f"{RESULTS}/trainings/{{training}}/weights.safetensors",
        log=f"{RESULTS}/trainings/{{training}}/log.jsonl",
        config=f"{RESULTS}/trainings/{{training}}/config.json",
        environment=f"{RESULTS}/trainings/{{training}}/environment.json",
    log:
        f"{LOGS}/train/{{training}}.log",
    benchmark:
        f"{BENCHMARKS}/train/{{training}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        gpu=0,
        gres="",
        gpu_share=1,
    params:
        scale=SCALE,
    shell:
        # The training itself listens to these signals; the shell and tee around it wait for it.
        "trap '' TERM USR1; "
        + LAUNCH
        + " train --scale {params.scale:q} --training {wildcards.training} --threads {threads}"
        # Beside each process, threads that make its batches; they change no result.
        " --workers $(( ({threads} - 1) / ({resources.gpu} ? {resources.gpu} : 1) ))"
        " 2>&1 | tee {log}"
