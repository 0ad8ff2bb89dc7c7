# Results -> tables, figures, claims and the page.

# Written by every report; one that cannot be drawn says why.
FIGURES = [
    f"figure-{name}"
    for name in ("1", "difference", "training", "capacity", "ablations", "4", "5", "learning")
]
# Those that every report has, in each format; beside them, undeclared, what only some have.
TABLES = [f"table-{number}" for number in range(1, 10)] + ["evaluations", "detectors", "cost"]


rule report:
    input:
        report_inputs,
        # What it reads of data and boxes: its pictures, and what detectors measure.
        [path for name in main_datasets() for path in dataset_ready(name, "val")],
        detections_of_report(),
        rules.flops.output,
        rules.trained_flops.output,
        rules.ceiling.output,
        rules.latency.output,
        along("reports/paper/figures.tsv"),
        along("workflow/config/tables.yaml"),
        along("workflow/config/claims.yaml"),
        along("workflow/config/ledger.yaml"),
        reference_run(),
        # A report that declares other files than before is made again.
        along("workflow/rules/report.smk"),
    output:
        **report_outputs(
            # Not in Snakemake's own report, which takes it out of its folder, so that none of its links would lead
            # anywhere.
            page=f"{REPORTS}/index.html",
            claims=report(f"{REPORTS}/claims.csv", caption="../report/claims.rst", category="Claims"),
            cells=report(f"{REPORTS}/cells.csv", caption="../report/cells.rst", category="Report"),
            runs=report(f"{REPORTS}/runs.csv", caption="../report/runs.rst", category="Data"),
            curve=report(f"{REPORTS}/curve.csv", caption="../report/curve.rst", category="Data"),
            figures=[
                report(
                    f"{REPORTS}/figures/{name}.svg",
                    caption=f"../report/{name}.rst",
                    category="Figures",
                    labels={"figure": name.removeprefix("figure-")},
                )
                for name in FIGURES
            ],
            claims_json=f"{REPORTS}/claims.json",
            description=f"{REPORTS}/report.json",
            drawings=expand(f"{REPORTS}/figures/{{name}}.png", name=FIGURES),
            formats=expand(
                f"{REPORTS}/tables/{{name}}.{{format}}", name=TABLES, format=["csv", "md", "tex"]
            ),
            extra=expand(f"{REPORTS}/tables/{{name}}.html", name=TABLES[9:]),
            tables=[
                report(
                    f"{REPORTS}/tables/table-{number}.html",
                    caption="../report/table.rst",
                    category="Tables",
                    labels={"table": str(number)},
                )
                for number in range(1, 10)
            ],
        ),
    log:
        f"{LOGS}/report.log",
    benchmark:
        f"{BENCHMARKS}/report.tsv"
    conda:
        ENVIRONMENT
    resources:
        scale=SCALE,
        root=JOB_ROOT,
    params:
        scale=EXPERIMENT.scale.model_dump(mode="json"),
        code=code_hash("mspn/report"),
    shell:
        "MSPN_ROOT={resources.root:q} "
        "python -m mspn report make --scale {resources.scale:q} 2>&1 | tee {log:q}"
