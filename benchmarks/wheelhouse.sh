#!/usr/bin/env bash
# Collect the wheels that a GPU machine without the internet (Linux x86-64, CUDA 13) may lack to run the tests and benchmarks.
# usage: wheelhouse.sh FOLDER [PYTHON_VERSION]   there: python3 -m pip install --no-index --no-deps --target SITE FOLDER/*.whl
# Expected there: scipy, numba, cupy-cuda13x, sympy, pandas, click, tqdm, fsspec, jinja2, packaging, and CUDA_HOME naming CUDA 13.
# The checkout's eventsnn.egg-info (python -m pip install -e .) has to come along: it tells the version.
set -eu
out=${1:?usage: wheelhouse.sh FOLDER [PYTHON_VERSION]}
python=${2:-3.12}
mkdir -p "$out"
platforms=()
for p in manylinux_2_34 manylinux_2_28 manylinux_2_27 manylinux_2_24 manylinux_2_17 manylinux2014 manylinux1; do
    platforms+=("--platform=${p}_x86_64")
done
python3 -m pip download --quiet --no-deps --only-binary=:all: --python-version "$python" --implementation cp \
    "${platforms[@]}" -d "$out" \
    dask distributed zarr numcodecs donfig google-crc32c msgpack msgspec zict tblib tornado locket partd toolz cloudpickle \
    sortedcontainers pyyaml psutil dask-cuda nvidia-ml-py typing_extensions xarray pytest pluggy iniconfig pygments pytest-timeout hypothesis \
    "numpy<2.5" numba-cuda==0.30.4 cuda-core==1.2.2 cuda-bindings==13.5.0 cuda-pathfinder==1.9.0
ls -l "$out"
