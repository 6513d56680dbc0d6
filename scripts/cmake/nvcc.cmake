# Compiles one .cu file; what ptxas says goes to LOG, warnings of the compiler to the caller (errors with WERROR).
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
