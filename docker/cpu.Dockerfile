# berth for the CPU: built with the distribution's packages, run without a compiler.
#   docker build -f docker/cpu.Dockerfile -t berth:cpu .
FROM debian:12-slim AS build
WORKDIR /src
COPY scripts/setup.sh scripts/setup.sh
RUN scripts/setup.sh && rm -rf /var/lib/apt/lists/*
COPY . .
RUN cmake --preset cpu -DBERTH_TESTS=OFF && cmake --build build --target berth berth-demo-data

FROM debian:12-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        libdnnl2 libhdf5-103-1 libyaml-0-2 libjansson4 libxxhash0 zlib1g libzstd1 libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home berth
COPY --from=build /src/build/berth /src/build/berth-demo-data /usr/local/bin/
COPY --from=build /src/configs /usr/local/share/berth/configs
USER berth
WORKDIR /home/berth
ENTRYPOINT ["berth"]
CMD ["help"]
