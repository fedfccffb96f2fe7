# kernels: the reference, and the CPU backend that overrides it. Vector code is built once per instruction set and chosen at run time.
# Debian's oneDNN runs on libgomp; the backend tells it to use one thread in each of ours.
file(GLOB gomp_folders /usr/lib/gcc/*/*)
find_library(GOMP_LIBRARY NAMES gomp libgomp.so.1 HINTS ${gomp_folders} REQUIRED)
room(kernels GLOB kernels/*.c kernels/ref/*.c kernels/cpu/*.c LINK base ${DNNL_LIBRARY} ${GOMP_LIBRARY} Threads::Threads ${CMAKE_DL_LIBS})
target_include_directories(kernels PRIVATE ${DNNL_INCLUDE_DIR})

# one object of vector_ops.c for each instruction set
get_target_property(sources kernels SOURCES)
list(FILTER sources EXCLUDE REGEX "vector_ops\\.c$")
set_target_properties(kernels PROPERTIES SOURCES "${sources}")
foreach(isa scalar avx2 avx512 avx512_bf16 amx)
  add_library(vector_${isa} OBJECT kernels/cpu/vector_ops.c)
  target_include_directories(vector_${isa} PRIVATE ${CMAKE_SOURCE_DIR})
  target_compile_definitions(vector_${isa} PRIVATE VECTOR_OPS=vector_ops_${isa})
  target_sources(kernels PRIVATE $<TARGET_OBJECTS:vector_${isa}>)
endforeach()
target_compile_options(vector_avx2 PRIVATE -mavx2 -mfma)
set(avx512 -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mprefer-vector-width=512)
target_compile_options(vector_avx512 PRIVATE ${avx512})
target_compile_options(vector_avx512_bf16 PRIVATE ${avx512} -mavx512bf16)
target_compile_options(vector_amx PRIVATE ${avx512} -mavx512bf16 -mamx-tile -mamx-bf16)
# with vectors of one element gcc takes the bounds of the tile loops for endless ones
if(CMAKE_C_COMPILER_ID STREQUAL GNU)
  target_compile_options(vector_scalar PRIVATE -Wno-aggressive-loop-optimizations)
endif()
