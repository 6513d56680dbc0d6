# Compiles one .cu file; what ptxas says goes to LOG. With WERROR warnings of the compiler are errors, and so is a kernel
# that spills registers or has a stack frame (scripts/check_ptxas.sh).
string(REPLACE ";" " " shown "${CODES}")
set(strict)
if(WERROR)
    set(strict -Werror all-warnings)
endif()
execute_process(
    COMMAND ${NVCC} -c -O3 -std=c++17 -Xptxas -v ${CODES} ${strict} -I${ROOT}/include -I${ROOT}/kernels
            -Xcompiler -fPIC,-fvisibility=hidden,-ffile-prefix-map=${ROOT}/= -MD -MF ${OBJECT}.d -MT ${OBJECT} -o ${OBJECT}
            ${SOURCE}
    OUTPUT_VARIABLE said ERROR_VARIABLE said RESULT_VARIABLE failed)
file(WRITE ${LOG} "${said}")
if(failed)
    message(FATAL_ERROR "${said}")
endif()
if(WERROR)
    execute_process(COMMAND bash ${ROOT}/scripts/check_ptxas.sh ${LOG}
                    OUTPUT_VARIABLE said ERROR_VARIABLE said RESULT_VARIABLE failed)
    if(failed)
        file(REMOVE ${OBJECT})
        message(FATAL_ERROR "${said}")
    endif()
endif()
