# Programs for a machine with a GPU: label gpu where the CUDA module is built (skipped where no GPU is found), and label emulate with the emulated module and tiny sizes.
# ci/gpu.sh runs them too, from a build or from a folder of ci/gpu_pack.sh.
function(gpu_program SOURCES)       # named after the first
  list(GET SOURCES 0 first)
  get_filename_component(name ${first} NAME_WE)
  add_executable(${name} ${SOURCES})
  target_link_libraries(${name} PRIVATE command test_tools PkgConfig::CMOCKA)
  set_target_properties(${name} PROPERTIES ENABLE_EXPORTS ON)      # modules take base/ and comm/ from the program
  target_link_options(${name} PRIVATE LINKER:--undefined=comm_self_create,--undefined=watchdog_enter,--undefined=hash_bytes,--undefined=log_warn)
  if(TARGET critic-rm-cuda)
    add_dependencies(${name} critic-rm-cuda)
  endif()
  add_dependencies(${name} critic-rm-cuda-emulated)
endfunction()

function(gpu_test LABEL NAME ENVIRONMENT)       # LABEL.NAME, or one for each number of ranks that follows
  set(names "")
  foreach(n ${ARGN})
    list(APPEND names ${LABEL}.${NAME}.np${n})
    add_test(NAME ${LABEL}.${NAME}.np${n} COMMAND ${CMAKE_SOURCE_DIR}/launch/mpirun.sh ${n} $<TARGET_FILE:${NAME}>)
  endforeach()
  set(processors 2)
  if(NOT names)
    set(names ${LABEL}.${NAME})
    set(processors 1)
    add_test(NAME ${names} COMMAND ${NAME})
  endif()
  set_tests_properties(${names} PROPERTIES LABELS ${LABEL} TIMEOUT ${test_timeout} PROCESSORS ${processors} SKIP_RETURN_CODE 77 ENVIRONMENT "${test_environment};${ENVIRONMENT}")
endfunction()

set(emulated "CRITIC_RM_GPU_TEST=small;CRITIC_RM_CUDA_MODULE=$<TARGET_FILE:critic-rm-cuda-emulated>")
file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/gpu/test_*.c)
foreach(source ${sources})
  gpu_program(${source})
  get_filename_component(name ${source} NAME_WE)
  file(STRINGS ${source} first LIMIT_COUNT 1)
  set(ranks "")
  if(first MATCHES "ranks: ([0-9 ]+)")
    separate_arguments(ranks UNIX_COMMAND "${CMAKE_MATCH_1}")
  endif()
  if(TARGET critic-rm-cuda)
    gpu_test(gpu ${name} "" ${ranks})
  endif()
  if(NOT CRITIC_RM_SANITIZE)        # slow there, and tests/emulate runs the same code under the sanitizers
    list(REMOVE_ITEM ranks 2)       # as many as show every axis
    gpu_test(emulate ${name} "${emulated}" ${ranks})
  endif()
endforeach()

# Speeds on a GPU; run by ci/gpu.sh. In CI only its smallest sizes, so that it stays alive.
file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/bench/cuda/*.c)
gpu_program("${sources}")
if(NOT CRITIC_RM_SANITIZE)
  gpu_test(emulate bench_cuda "${emulated}")
  add_test(NAME emulate.test_gpu_sh.sh COMMAND bash ${CMAKE_SOURCE_DIR}/tests/emulate/test_gpu_sh.sh)
  set_tests_properties(emulate.test_gpu_sh.sh PROPERTIES LABELS emulate TIMEOUT ${test_timeout} PROCESSORS 1 ENVIRONMENT
    "${test_environment};BUILD=${CMAKE_BINARY_DIR};SOURCE=${CMAKE_SOURCE_DIR}")
endif()
