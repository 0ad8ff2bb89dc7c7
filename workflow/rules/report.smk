# Results -> tables, figures, claims and the page.


rule report:
    input:
        report_inputs,
        rules.flops.output,
        rules.latency.output,
        "reports/paper/figures.tsv",
        "workflow/config/tables.yaml",
        "workflow/config/ledger.yaml",
    output:
        page=f"{REPORTS}/index.html",
    log:
        f"{LOGS}/report.log",
    benchmark:
        f"{BENCHMARKS}/report.tsv"
    conda:
        ENVIRONMENT
    params:
        scale=SCALE,
        code=fingerprint("mspn.report", "mspn.commands.report"),
    shell:
        "python -m mspn report make --scale {params.scale:q} 2>&1 | tee {log}"
