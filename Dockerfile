# dfpde with Debian's PETSc, mpi4py and Open MPI, by the same set-up as everywhere else.
#
#   docker build -t dfpde .
#   docker run --rm -it dfpde                                  # a shell with the environment active
#   docker run --rm -v "$PWD/out:/dfpde/out" dfpde dfpde run cases/burgers.toml --directory out/burgers -n 2
FROM debian:bookworm-slim

SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates git make \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /dfpde
COPY . .
# set-up installs PETSc, mpi4py and Open MPI from Debian and the rest from PyPI
RUN make setup && rm -rf /var/lib/apt/lists/* /root/.cache

ENV PATH=/dfpde/.venv/bin:$PATH \
    VIRTUAL_ENV=/dfpde/.venv \
    OMP_NUM_THREADS=1 \
    OMPI_ALLOW_RUN_AS_ROOT=1 \
    OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 \
    OMPI_MCA_btl_vader_single_copy_mechanism=none
CMD ["bash"]
