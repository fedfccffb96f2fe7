#!/bin/sh
# mpirun.sh N PROGRAM [ARG...]: N ranks on this machine, as root or not, more ranks than cores allowed
set -eu
n=$1; shift
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_hwloc_base_binding_policy=none
exec mpirun -np "$n" "$@"
