# Crops -> trained networks. A training's folder is named after all that decides its result, so that a changed
# recipe or network is a new training, runs that share one train once, and nothing else starts one: that is why
# inputs are `ancient`.
TRAIN = (
    # The training itself listens to these signals; the shell and tee around it wait for it.
    "trap '' TERM USR1; " + LAUNCH
    # Beside each process, threads that make its batches; they change no result.
    + " train --scale {resources.scale:q} --threads {threads}"
    " --workers $(( ({threads} - 1) / ({resources.gpu} ? {resources.gpu} : 1) ))"
    # What a profile may set for its machine; it changes no result's identity.
    " --compile {resources.compile:q} --gradient-checkpointing {resources.gradient_checkpointing:q}"
    " --store-on-device {resources.store_on_device:q}"
    # A cluster's time limit costs no attempt while a training goes on.
    + (" --requeue" if workflow.remote_exec else "")
)


rule train:
    input:
        lambda w: ancient(list(training_inputs(w))),
    output:
        weights=f"{RESULTS}/trainings/{{training}}/weights.safetensors",
        log=f"{RESULTS}/trainings/{{training}}/log.jsonl",
        timing=f"{RESULTS}/trainings/{{training}}/timing.jsonl",
        config=f"{RESULTS}/trainings/{{training}}/config.json",
        environment=f"{RESULTS}/trainings/{{training}}/environment.json",
    log:
        f"{LOGS}/train/{{training}}.log",
    benchmark:
        f"{BENCHMARKS}/train/{{training}}.tsv"
    retries: RETRIES
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        scale=SCALE,
        root=JOB_ROOT,
        gpu=0,
        gres="",
        gpu_share=1,
        compile="off",
        gradient_checkpointing="off",
        store_on_device="off",
    shell:
        f"{TRAIN} --training {{wildcards.training}} 2>&1 | tee {{log:q}}"


# What trainings of several lengths have in common: warm-up and the constant rate, up to where each cools down.
rule trunk:
    input:
        lambda w: ancient(list(trunk_inputs(w))),
    output:
        state=f"{RESULTS}/trunks/{{trunk}}/{{step}}/state.ckpt",
        log=f"{RESULTS}/trunks/{{trunk}}/{{step}}/log.jsonl",
        timing=f"{RESULTS}/trunks/{{trunk}}/{{step}}/timing.jsonl",
        attempts=f"{RESULTS}/trunks/{{trunk}}/{{step}}/attempts.json",
    log:
        f"{LOGS}/trunk/{{trunk}}-{{step}}.log",
    benchmark:
        f"{BENCHMARKS}/trunk/{{trunk}}-{{step}}.tsv"
    retries: RETRIES
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        scale=SCALE,
        root=JOB_ROOT,
        gpu=0,
        gres="",
        gpu_share=1,
        compile="off",
        gradient_checkpointing="off",
        store_on_device="off",
    shell:
        f"{TRAIN} --trunk {{wildcards.trunk}} --until {{wildcards.step}} 2>&1 | tee {{log:q}}"
