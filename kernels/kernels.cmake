# kernels: the reference, and the CPU backend that overrides it. Vector code is built once per instruction set and chosen at run time.
# Debian's oneDNN runs on libgomp; the backend tells it to use one thread in each of ours.
file(GLOB gomp_folders /usr/lib/gcc/*/*)
find_library(GOMP_LIBRARY NAMES gomp libgomp.so.1 HINTS ${gomp_folders} REQUIRED)
room(kernels GLOB kernels/*.c kernels/ref/*.c kernels/cpu/*.c LINK base ${DNNL_LIBRARY} ${GOMP_LIBRARY} Threads::Threads)
target_include_directories(kernels PRIVATE ${DNNL_INCLUDE_DIR})
