# Data set -> crops; data set -> detections.


rule synth:
    output:
        f"{RESULTS}/data/{{dataset}}/dataset.json",
    log:
        f"{LOGS}/synth/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/synth/{{dataset}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        scale=SCALE,
    params:
        # Another configuration or another generator makes another data set.
        identity=lambda w: [EXPERIMENT.data_identity(w.dataset, split) for split in ("train", "val")],
    shell:
        "python -m mspn synth --scale {resources.scale:q} --dataset {wildcards.dataset} 2>&1 | tee {log}"


# The store itself lies beside its manifest, undeclared, so that an interrupted one is continued.
rule crops:
    input:
        lambda w: ancient(dataset_ready(w.dataset, "train")),
    output:
        f"{RESULTS}/crops/{{dataset}}-{{size}}/manifest.json",
    log:
        f"{LOGS}/crops/{{dataset}}-{{size}}.log",
    benchmark:
        f"{BENCHMARKS}/crops/{{dataset}}-{{size}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        scale=SCALE,
    params:
        identity=lambda w: EXPERIMENT.store_identity(w.dataset, parse_size(w.size)),
    shell:
        "python -m mspn crops --scale {resources.scale:q} --dataset {wildcards.dataset} --input {wildcards.size}"
        " 2>&1 | tee {log}"


rule detect:
    input:
        lambda w: dataset_ready(w.dataset, "val"),
        lambda w: EXPERIMENT.detection_files(w.detector),
    output:
        boxes=f"{RESULTS}/boxes/{{dataset}}/{{detector}}.json",
        metrics=f"{RESULTS}/boxes/{{dataset}}/{{detector}}.metrics.json",
    log:
        f"{LOGS}/detect/{{dataset}}-{{detector}}.log",
    benchmark:
        f"{BENCHMARKS}/detect/{{dataset}}-{{detector}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        scale=SCALE,
    params:
        identity=lambda w: EXPERIMENT.boxes_identity(w.dataset, w.detector),
    shell:
        "python -m mspn detect --scale {resources.scale:q} --dataset {wildcards.dataset}"
        " --detector {wildcards.detector} 2>&1 | tee {log}"
