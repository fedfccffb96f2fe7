# Every tests/<label>/test_*.c is a program with label <label>. Programs of label mpi run once for each number in their first
# line, e.g. "// ranks: 1 2 4"; so does a golden test that has such a line.
pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)
set(CRITIC_RM_TEST_DATA ${CMAKE_SOURCE_DIR}/../shared/data CACHE PATH "folder of real data for tests")

# Seconds for a program that is stuck: sanitised ones are slow, and no test asserts a time.
set(test_timeout 300)
if(CRITIC_RM_SANITIZE)
  set(test_timeout 1200)
endif()

# Environment of every test. Open MPI does not look for networks, nor starts a daemon for a program that runs alone: 0.3 s each. Sanitizers: gcc 12's LeakSanitizer takes what stands before a
# library's thread-local memory for its size, and crashes once in a thousand processes. A report with whole stacks of allocations, also through libraries, comes with fast_unwind_on_malloc=0.
set(test_environment CRITIC_RM_TEST_DATA=${CRITIC_RM_TEST_DATA} OMPI_MCA_pml=ob1 OMPI_MCA_ess_singleton_isolated=1)
if(CRITIC_RM_SANITIZE)
  list(APPEND test_environment OMPI_MCA_mca_base_component_disable_dlclose=1 ASAN_OPTIONS=intercept_tls_get_addr=0 LSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/ci/lsan.supp:print_suppressions=0
       "TSAN_OPTIONS=ignore_noninstrumented_modules=1:detect_deadlocks=0:suppressions=${CMAKE_SOURCE_DIR}/ci/tsan.supp")
endif()

# What tests share: random values and forests, finite differences.
room(test_tools GLOB tests/tools/*.c LINK trainer PkgConfig::CMOCKA)

function(test_program LABEL SOURCE)
  get_filename_component(name ${SOURCE} NAME_WE)
  add_executable(${name} ${SOURCE})
  target_link_libraries(${name} PRIVATE command test_tools PkgConfig::CMOCKA)
  target_compile_definitions(${name} PRIVATE TEST_SOURCE_DIR="${CMAKE_SOURCE_DIR}" TEST_PROGRAM="$<TARGET_FILE:critic-rm>")
  file(STRINGS ${SOURCE} first LIMIT_COUNT 1)
  string(REGEX MATCH "ranks: ([0-9 ]+)" _ "${first}")
  if(CMAKE_MATCH_1)
    separate_arguments(ranks UNIX_COMMAND "${CMAKE_MATCH_1}")
    foreach(n ${ranks})
      set(processors 2)
      if(n EQUAL 1 AND NOT LABEL STREQUAL golden)       # these take all cores
        set(processors 1)
      endif()
      add_test(NAME ${LABEL}.${name}.np${n} COMMAND ${CMAKE_SOURCE_DIR}/launch/mpirun.sh ${n} $<TARGET_FILE:${name}>)
      set_tests_properties(${LABEL}.${name}.np${n} PROPERTIES LABELS ${LABEL} TIMEOUT ${test_timeout} PROCESSORS ${processors}
        ENVIRONMENT "${test_environment}" SKIP_RETURN_CODE 77)
    endforeach()
  else()
    add_test(NAME ${LABEL}.${name} COMMAND ${name})
    set_tests_properties(${LABEL}.${name} PROPERTIES LABELS ${LABEL} TIMEOUT ${test_timeout}
      ENVIRONMENT "${test_environment}" SKIP_RETURN_CODE 77)
  endif()
endfunction()

foreach(label unit mpi golden)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/${label}/test_*.c)
  foreach(source ${sources})
    test_program(${label} ${source})
  endforeach()
endforeach()

include(tests/emulate/emulate.cmake)
include(tests/gpu/gpu.cmake)

# Fuzzers (cmake --preset fuzz): label fuzz, CRITIC_RM_FUZZ_SECONDS each (300), from tests/fuzz/seeds/NAME; what they find more is kept in the build folder's corpus.
if(CRITIC_RM_FUZZ)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/fuzz/fuzz_*.c)
  foreach(source ${sources})
    get_filename_component(name ${source} NAME_WE)
    add_executable(${name} ${source})
    target_link_libraries(${name} PRIVATE command)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    string(REPLACE fuzz_ "" subject ${name})
    file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/corpus/${subject})
    add_test(NAME fuzz.${name} COMMAND sh -c "exec $<TARGET_FILE:${name}> -max_total_time=\${CRITIC_RM_FUZZ_SECONDS:-300} -max_len=65536 -timeout=20 -print_final_stats=0 corpus/${subject} ${CMAKE_SOURCE_DIR}/tests/fuzz/seeds/${subject}")
    set_tests_properties(fuzz.${name} PROPERTIES LABELS fuzz TIMEOUT 3600 ENVIRONMENT "${test_environment}")
  endforeach()
endif()

# Programs that shell tests call, and the shell tests: tests/<label>/test_*.sh.
add_executable(tiny_folder tests/programs/tiny_folder.c)
target_link_libraries(tiny_folder PRIVATE test_tools command)
add_executable(print_rewards tests/programs/print_rewards.c)
target_link_libraries(print_rewards PRIVATE test_tools trainer)
add_executable(http_client tests/programs/http_client.c)
target_link_libraries(http_client PRIVATE test_tools base)
add_executable(local_gpu tests/programs/local_gpu.c)      # opens the emulated CUDA module, which takes base/ and comm/ from it
target_link_libraries(local_gpu PRIVATE test_tools trainer)
set_target_properties(local_gpu PROPERTIES ENABLE_EXPORTS ON)
target_link_options(local_gpu PRIVATE LINKER:--undefined=hash_bytes,--undefined=log_warn)
add_dependencies(local_gpu critic-rm-cuda-emulated)
add_library(slow_fsync MODULE tests/tools/preload/slow_fsync.c)
target_link_libraries(slow_fsync PRIVATE ${CMAKE_DL_LIBS})
add_library(one_thread MODULE tests/tools/preload/one_thread.c)
target_link_libraries(one_thread PRIVATE MPI::MPI_C)
foreach(label unit mpi golden slow)
  file(GLOB scripts CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/${label}/test_*.sh)
  foreach(script ${scripts})
    get_filename_component(name ${script} NAME_WE)
    add_test(NAME ${label}.${name}.sh COMMAND bash ${script})
    set(processors 1)
    if(label STREQUAL slow OR name MATCHES "generation|pipeline|resume|serve|train|watchdog")      # stops and kills at a moment: nothing beside them
      set(processors 2)
    endif()
    set_tests_properties(${label}.${name}.sh PROPERTIES LABELS ${label} TIMEOUT 900 PROCESSORS ${processors} SKIP_RETURN_CODE 77 ENVIRONMENT
      "${test_environment};CRITIC_RM=$<TARGET_FILE:critic-rm>;TINY_FOLDER=$<TARGET_FILE:tiny_folder>;SLOW_FSYNC=$<TARGET_FILE:slow_fsync>;ONE_THREAD=$<TARGET_FILE:one_thread>;PRINT_REWARDS=$<TARGET_FILE:print_rewards>;HTTP_CLIENT=$<TARGET_FILE:http_client>;LOCAL_GPU=$<TARGET_FILE:local_gpu>;EMULATED_MODULE=$<TARGET_FILE:critic-rm-cuda-emulated>;TOOLS=${CMAKE_SOURCE_DIR}/tests/tools;SOURCE=${CMAKE_SOURCE_DIR}")
  endforeach()
endforeach()
add_executable(toy_task tests/programs/toy_task.c)
target_link_libraries(toy_task PRIVATE test_tools)

# Speeds of the kernels; run by hand and by ci/bench.sh.
add_executable(bench_kernels tests/bench/bench_kernels.c)
target_link_libraries(bench_kernels PRIVATE test_tools kernels)
add_executable(bench_generate tests/bench/bench_generate.c)
target_link_libraries(bench_generate PRIVATE test_tools trainer)
add_executable(bench_io tests/bench/bench_io.c)
target_link_libraries(bench_io PRIVATE test_tools trainer)
