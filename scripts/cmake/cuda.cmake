# The device `cuda`: kernels/*.cu compiled by nvcc, and src/device/cuda. cuBLASLt and cuDNN are loaded when first used; of
# CUDA's libraries only the runtime is linked, statically, so the program also runs where there is no CUDA at all.
#
#   BERTH_CUDA         AUTO (where nvcc and the headers are found), ON, OFF
#   BERTH_CUDA_ARCHS   compute capabilities; empty: this machine's GPU, or 80 and 90a where there is none
#
# What ptxas says of each kernel (registers, spills, stack) stays in BUILD/cuda/NAME.ptxas.txt.
set(BERTH_CUDA AUTO CACHE STRING "the device cuda: AUTO, ON or OFF")
set(BERTH_CUDA_ARCHS "" CACHE STRING "compute capabilities to compile kernels for, e.g. 80;90a")
set(BERTH_HAVE_CUDA OFF)

if(NOT BERTH_CUDA STREQUAL OFF AND NOT BERTH_SANITIZE AND NOT BERTH_FUZZ)
    find_program(BERTH_NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)
    if(BERTH_NVCC)
        get_filename_component(root ${BERTH_NVCC} REALPATH)
        get_filename_component(root ${root} DIRECTORY)
        get_filename_component(root ${root} DIRECTORY)
        set(places ${root} ${root}/targets/x86_64-linux)
        find_path(BERTH_CUDA_INCLUDE cuda_runtime_api.h HINTS ${places} PATH_SUFFIXES include)
        find_path(BERTH_CUBLASLT_INCLUDE cublasLt.h HINTS ${places} PATH_SUFFIXES include)
        find_path(BERTH_CUDNN_INCLUDE cudnn.h HINTS ${places} PATH_SUFFIXES include)
        find_library(BERTH_CUDART cudart_static HINTS ${places} PATH_SUFFIXES lib lib64)
    endif()
    set(missing)
    foreach(name BERTH_NVCC BERTH_CUDA_INCLUDE BERTH_CUBLASLT_INCLUDE BERTH_CUDNN_INCLUDE BERTH_CUDART)
        if(NOT ${name})
            list(APPEND missing ${name})
        endif()
    endforeach()
    if(NOT missing)
        set(BERTH_HAVE_CUDA ON)
    elseif(BERTH_CUDA STREQUAL ON)
        message(FATAL_ERROR "BERTH_CUDA is ON, but not found: ${missing}")
    endif()
endif()

if(BERTH_HAVE_CUDA)
    # The toolkit's own folder, also where its files are linked into another one (the driver's stub lies only there).
    get_filename_component(BERTH_CUDA_LIBRARY_FOLDER ${BERTH_CUDART} REALPATH)
    get_filename_component(BERTH_CUDA_LIBRARY_FOLDER ${BERTH_CUDA_LIBRARY_FOLDER} DIRECTORY)
    set(archs ${BERTH_CUDA_ARCHS})
    if(NOT archs)
        execute_process(COMMAND nvidia-smi --query-gpu=compute_cap --format=csv,noheader
                        OUTPUT_VARIABLE found ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed)
        if(failed)
            set(archs 80 90a)
        else()
            string(REGEX REPLACE "[.]" "" archs "${found}")
            string(REGEX REPLACE "\n" ";" archs "${archs}")
            list(REMOVE_DUPLICATES archs)
            string(REPLACE "90" "90a" archs "${archs}")
        endif()
    endif()
    set(BERTH_CUDA_CHOSEN ${archs})
    set(codes)
    foreach(arch IN LISTS archs)
        list(APPEND codes -gencode arch=compute_${arch},code=sm_${arch})
    endforeach()
    file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/cuda)
    file(GLOB CUDA_KERNELS CONFIGURE_DEPENDS kernels/*.cu)
    # The objects of these .cu files, by nvcc: a list in OUT.
    function(berth_nvcc_objects out)
        set(objects)
        foreach(source IN LISTS ARGN)
            get_filename_component(name ${source} NAME_WE)
            set(object ${CMAKE_BINARY_DIR}/cuda/${name}.o)
            add_custom_command(OUTPUT ${object}
                COMMAND ${CMAKE_COMMAND} -DNVCC=${BERTH_NVCC} -DSOURCE=${source} -DOBJECT=${object}
                        -DLOG=${CMAKE_BINARY_DIR}/cuda/${name}.ptxas.txt "-DCODES=${codes}" -DROOT=${CMAKE_SOURCE_DIR}
                        -DWERROR=${BERTH_WERROR} -P ${CMAKE_SOURCE_DIR}/scripts/cmake/nvcc.cmake
                DEPENDS ${source} DEPFILE ${object}.d
                COMMENT "nvcc ${name}.cu" VERBATIM)
            list(APPEND objects ${object})
        endforeach()
        set(${out} ${objects} PARENT_SCOPE)
    endfunction()
    berth_nvcc_objects(objects ${CUDA_KERNELS})
    add_library(berth_cuda_kernels STATIC ${objects})
    set_target_properties(berth_cuda_kernels PROPERTIES LINKER_LANGUAGE C)
endif()
