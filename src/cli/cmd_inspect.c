/* cmd_inspect.c: `berth inspect`: what a file or folder of berth's holds. */
#include <stdlib.h>

#include "berth/file.h"
#include "cli/cli_priv.h"

static berth_status inspect_folder(const char *path) {
    char *config = NULL, *run_config = NULL;
    BERTH_TRY(berth_path_join(&config, path, "config.json"));
    berth_status status = berth_path_join(&run_config, path, "config.yaml");
    if (status == BERTH_OK) {
        if (berth_file_exists(config))
            status = cli_inspect_model(path);
        else if (berth_file_exists(run_config))
            status = cli_inspect_run(path);
        else
            status = berth_error_set(BERTH_E_FORMAT, __FILE__, __LINE__,
                                     "%s: neither a model folder (config.json) nor a run folder (config.yaml)",
                                     path);
    }
    free(config);
    free(run_config);
    return status;
}

static berth_status run(const struct cli_args *args) {
    const char *path = args->positional[0], *vocabulary = cli_value(args, "vocab");
    int64_t row = -1;
    BERTH_TRY(cli_int(args, "row", 0, INT64_MAX / 2, &row));
    if (!berth_file_exists(path)) BERTH_FAIL(BERTH_E_IO, "%s: no such file or folder", path);
    bool plain = row < 0 && !vocabulary;
    if (!plain && (berth_is_folder(path) || !berth_glob("*.h5", path)))
        BERTH_FAIL(BERTH_E_USAGE, "%s: --row and --vocab are for packed data, *.h5", path);
    if (berth_is_folder(path)) return inspect_folder(path);
    if (berth_glob("*.safetensors", path) || berth_glob("*.bin", path)) return cli_inspect_weights(path);
    if (berth_glob("*.h5", path)) return cli_inspect_h5(path, row, vocabulary);
    BERTH_FAIL(BERTH_E_FORMAT,
               "%s: not a kind of file that berth knows: a folder, *.safetensors, *.bin (PyTorch) or *.h5",
               path);
}

static const struct cli_option options[] = {
    {"row", "N", "of packed data: row N alone, from 0: its labels, tokens, words and tags"},
    {"vocab", "FOLDER", "with --row: the model folder (or vocab.txt) it was packed with, to show the pieces"},
    {NULL, NULL, NULL},
};

const struct cli_command cli_inspect = {
    .name = "inspect",
    .usage = "FILE_OR_FOLDER",
    .summary = "what a model, run, safetensors or HDF5 file holds",
    .details = "model folder: sizes, heads with their labels, every parameter with shape, count and digest. "
               "run folder: its\n"
               "checkpoints with the digest of each data set, and its best model. Packed data (cache/*.h5): files, settings, "
               "counts,\n"
               "label maps; with --row one row. *.safetensors, *.bin "
               "(PyTorch's, read without executing anything) and *.h5: "
               "every tensor with\n"
               "type, shape and digest. Columns are separated by tabs; a digest is the XXH3-128 of the values' "
               "bytes, so\n"
               "equal digests mean equal bits.",
    .options = options,
    .min_positional = 1,
    .max_positional = 1,
    .run = run,
};
