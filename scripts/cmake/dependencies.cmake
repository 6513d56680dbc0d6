# What berth is built on; every package is installed by scripts/setup.sh.
find_package(PkgConfig REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS C)
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(ZLIB REQUIRED IMPORTED_TARGET zlib)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)

# HDF5: the serial library, by its own pkg-config file where the distribution ships one.
pkg_search_module(HDF5 IMPORTED_TARGET hdf5-serial hdf5)
add_library(hdf5_c INTERFACE)
if(HDF5_FOUND)
    target_link_libraries(hdf5_c INTERFACE PkgConfig::HDF5)
else()
    find_package(HDF5 REQUIRED COMPONENTS C)
    target_include_directories(hdf5_c INTERFACE ${HDF5_C_INCLUDE_DIRS})
    target_link_libraries(hdf5_c INTERFACE ${HDF5_C_LIBRARIES})
endif()

# oneDNN, 2.x or 3.x.
find_path(DNNL_INCLUDE_DIR dnnl.h REQUIRED)
find_library(DNNL_LIBRARY dnnl REQUIRED)
add_library(dnnl INTERFACE)
target_include_directories(dnnl INTERFACE ${DNNL_INCLUDE_DIR})
target_link_libraries(dnnl INTERFACE ${DNNL_LIBRARY})
