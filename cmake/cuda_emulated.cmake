# The CUDA kernels compiled for the host: tests/cuda_emulator implements their instructions.
if(TARGET gramless_cuda_emulated)
  return()
endif()
set_source_files_properties(${CUDA_SOURCES} PROPERTIES LANGUAGE CXX)
add_library(gramless_cuda_emulated STATIC ${CUDA_SOURCES})
target_include_directories(gramless_cuda_emulated PUBLIC ${PROJECT_SOURCE_DIR}/csrc ${PROJECT_SOURCE_DIR}/tests)
target_compile_options(gramless_cuda_emulated PRIVATE -Wno-unknown-pragmas)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND NOT GRAMLESS_SANITIZE)
  target_compile_options(gramless_cuda_emulated PRIVATE -O1 -fexpensive-optimizations) # half of the compile time of -O3
endif()
