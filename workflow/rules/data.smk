# Data set -> crops; data set -> detections.


rule synth:
    output:
        whole_output(f"{RESULTS}/data/{{dataset}}", "dataset.json"),
    log:
        f"{LOGS}/synth/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/synth/{{dataset}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        scale=SCALE,
        root=JOB_ROOT,
    params:
        # Another configuration or another generator makes another data set.
        identity=lambda w: [EXPERIMENT.data_identity(w.dataset, split) for split in ("train", "val")],
    shell:
        "MSPN_ROOT={resources.root:q} "
        "python -m mspn synth --scale {resources.scale:q} --dataset {wildcards.dataset} 2>&1 | tee {log:q}"


rule crops:
    input:
        lambda w: ancient(dataset_ready(w.dataset, "train")),
    output:
        whole_output(f"{RESULTS}/crops/{{dataset}}-{{size}}", "manifest.json"),
    log:
        f"{LOGS}/crops/{{dataset}}-{{size}}.log",
    benchmark:
        f"{BENCHMARKS}/crops/{{dataset}}-{{size}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        scale=SCALE,
        root=JOB_ROOT,
    params:
        identity=lambda w: EXPERIMENT.store_identity(w.dataset, parse_size(w.size)),
    shell:
        "MSPN_ROOT={resources.root:q} "
        "python -m mspn crops --scale {resources.scale:q} --dataset {wildcards.dataset} --input {wildcards.size}"
        " 2>&1 | tee {log:q}"


rule detect:
    input:
        lambda w: dataset_ready(w.dataset, "val"),
        lambda w: [in_place(path) for path in EXPERIMENT.detection_files(w.detector)],
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
        root=JOB_ROOT,
    params:
        identity=lambda w: EXPERIMENT.boxes_identity(w.dataset, w.detector),
    shell:
        "MSPN_ROOT={resources.root:q} "
        "python -m mspn detect --scale {resources.scale:q} --dataset {wildcards.dataset}"
        " --detector {wildcards.detector} 2>&1 | tee {log:q}"
