# The CUDA backend on the CPU: the same sources, with the stand-ins of tests/emulate for what CUDA gives. Tests of label emulate link it.
enable_language(CXX)
file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/kernels/cuda/*.c ${CMAKE_SOURCE_DIR}/comm/nccl.c ${CMAKE_SOURCE_DIR}/tests/emulate/*.c)
list(FILTER sources EXCLUDE REGEX "/test_[^/]*$")
add_library(cuda_emulated OBJECT ${sources})
# Nearly all time of the emulation is spent in products: they are compiled as in a release also under sanitizers.
set_source_files_properties(tests/emulate/mma.c tests/emulate/warpgroup.c PROPERTIES COMPILE_OPTIONS -O3)
target_include_directories(cuda_emulated PUBLIC ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/tests/emulate/include)
add_library(kernels_emulated STATIC $<TARGET_OBJECTS:cuda_emulated>)
target_include_directories(kernels_emulated PUBLIC ${CMAKE_SOURCE_DIR}/tests/emulate/include)
target_link_libraries(cuda_emulated PUBLIC MPI::MPI_C)
target_link_libraries(kernels_emulated PUBLIC kernels comm)
# Weak symbols: an archive gives them to nobody who does not insist.
target_link_options(kernels_emulated INTERFACE LINKER:--undefined=attention_sm90_forward_64,--undefined=attention_sm90_backward_q_64)

# The same as a module, so that any program runs on it: CRITIC_RM_CUDA_MODULE names it.
add_library(critic-rm-cuda-emulated MODULE $<TARGET_OBJECTS:cuda_emulated>)
set_target_properties(critic-rm-cuda-emulated PROPERTIES PREFIX "" LINKER_LANGUAGE CXX)
target_link_libraries(critic-rm-cuda-emulated PRIVATE MPI::MPI_C)

# The stand-ins' headers are held against the real ones where those are (tests/emulate/real).
if(TARGET critic-rm-cuda)
  add_library(real_headers OBJECT tests/emulate/real/cublaslt.c tests/emulate/real/driver.c tests/emulate/real/nccl.c)
  target_include_directories(real_headers PRIVATE ${CMAKE_SOURCE_DIR})
  target_include_directories(real_headers SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS} ${NCCL_INCLUDE_DIR})
endif()

# Kernel sources are C++ to g++ here, whatever they are called.
function(emulate_kernels TARGET)
  foreach(source ${ARGN})
    set_source_files_properties(${source} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-x;c++;-std=c++17")
    target_sources(${TARGET} PRIVATE ${source})
  endforeach()
endfunction()
file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/kernels/cuda/*.cu)
emulate_kernels(cuda_emulated ${sources})

file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/emulate/test_*.c)
foreach(source ${sources})
  test_program(emulate ${source})
  get_filename_component(name ${source} NAME_WE)
  if(NOT name MATCHES "^test_cuda_(module|ranks)$")       # these open the module, and must not have its insides twice
    target_link_libraries(${name} PRIVATE kernels_emulated)
  endif()
endforeach()
emulate_kernels(test_faults ${CMAKE_SOURCE_DIR}/tests/emulate/kernels/faults.cu)
emulate_kernels(test_faults_sm90 ${CMAKE_SOURCE_DIR}/tests/emulate/kernels/faults_sm90.cu)
emulate_kernels(test_cuda_attention ${CMAKE_SOURCE_DIR}/tests/emulate/kernels/attention_faults.cu ${CMAKE_SOURCE_DIR}/tests/emulate/kernels/attention_sm90_faults.cu)
target_sources(test_cuda_attention PRIVATE ${CMAKE_SOURCE_DIR}/tests/emulate/kernels/attention_faults.c)
emulate_kernels(test_cuda_decode ${CMAKE_SOURCE_DIR}/tests/emulate/kernels/paged_faults.cu)

# The same step under more orders of the streams' work.
foreach(n 2 4)
  add_test(NAME slow.test_cuda_step_seeds.np${n} COMMAND ${CMAKE_SOURCE_DIR}/launch/mpirun.sh ${n} $<TARGET_FILE:test_cuda_step>)
  set_tests_properties(slow.test_cuda_step_seeds.np${n} PROPERTIES LABELS slow TIMEOUT 1800 PROCESSORS 2 ENVIRONMENT "${test_environment};CRITIC_RM_EMULATE_SEEDS=20")
endforeach()

# Mistakes in the calls of NCCL, each in a job of its own.
add_executable(nccl_fault tests/emulate/programs/nccl_fault.c)
target_link_libraries(nccl_fault PRIVATE kernels_emulated comm)
add_test(NAME emulate.test_nccl_faults.sh COMMAND bash ${CMAKE_SOURCE_DIR}/tests/emulate/test_nccl_faults.sh)
set_tests_properties(emulate.test_nccl_faults.sh PROPERTIES LABELS emulate TIMEOUT 300 PROCESSORS 2 ENVIRONMENT
  "${test_environment};NCCL_FAULT=$<TARGET_FILE:nccl_fault>;CRITIC_RM=$<TARGET_FILE:critic-rm>;TINY_FOLDER=$<TARGET_FILE:tiny_folder>;TOOLS=${CMAKE_SOURCE_DIR}/tests/tools;SOURCE=${CMAKE_SOURCE_DIR}")

# The program itself on the emulated module.
foreach(name test_train_cuda test_generation_cuda)
  add_test(NAME emulate.${name}.sh COMMAND bash ${CMAKE_SOURCE_DIR}/tests/emulate/${name}.sh)
  set_tests_properties(emulate.${name}.sh PROPERTIES LABELS emulate TIMEOUT 900 PROCESSORS 2 ENVIRONMENT
    "${test_environment};EMULATED_MODULE=$<TARGET_FILE:critic-rm-cuda-emulated>;CRITIC_RM=$<TARGET_FILE:critic-rm>;TINY_FOLDER=$<TARGET_FILE:tiny_folder>;TOOLS=${CMAKE_SOURCE_DIR}/tests/tools;SOURCE=${CMAKE_SOURCE_DIR}")
endforeach()

# They open modules, which take base/ and comm/ from the program.
set_target_properties(test_cuda_module test_cuda_ranks PROPERTIES ENABLE_EXPORTS ON)
target_link_options(test_cuda_module PRIVATE LINKER:--undefined=comm_self_create,--undefined=watchdog_enter,--undefined=hash_bytes,--undefined=log_warn)
target_link_options(test_cuda_ranks PRIVATE LINKER:--undefined=hash_bytes,--undefined=log_warn)
target_compile_definitions(test_cuda_module PRIVATE TEST_BUILD_DIR="${CMAKE_BINARY_DIR}")
foreach(name test_cuda_module test_cuda_ranks)
  target_compile_definitions(${name} PRIVATE EMULATED_MODULE="$<TARGET_FILE:critic-rm-cuda-emulated>")
  add_dependencies(${name} critic-rm-cuda-emulated)
endforeach()
if(TARGET critic-rm-cuda)
  add_dependencies(test_cuda_module critic-rm-cuda)
endif()
