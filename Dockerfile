# The benchmark in a container, with the packages of requirements.lock:
#   docker build -t mspn . && docker run --gpus all -v "$PWD/data:/mspn/data" -v "$PWD/results:/mspn/results" mspn
# On a cluster, Apptainer builds it from the image (no root needed to run):
#   apptainer build mspn.sif docker-daemon://mspn:latest
#   apptainer exec --nv --bind "$PWD" --pwd "$PWD" mspn.sif snakemake --cores all --config scale=paper
# or each job by itself, from a Snakemake outside:
#   snakemake --cores all --sdm apptainer --apptainer-args "--nv" --config scale=paper
# PyPI's torch for Linux carries the CUDA libraries; the host gives the driver.
FROM python:3.11-slim

# git says which commit a result was made at; make runs the Makefile's checks.
RUN apt-get update \
    && apt-get install -y --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /mspn
# The packages first: a changed line of code then leaves that layer as it is.
COPY requirements.lock ./
RUN pip install --no-cache-dir --requirement requirements.lock
COPY . .
RUN pip install --no-cache-dir --no-deps --editable . \
    && git config --system --add safe.directory '*'

ENV PYTHONUNBUFFERED=1
ENTRYPOINT ["snakemake"]
CMD ["--cores", "all"]
